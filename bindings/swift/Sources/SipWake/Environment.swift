import Foundation

extension Environment {
    /// Returns the environment that this app's tokens belong to. The provisioning profile names it. Without a profile, as in apps from
    /// the App Store and TestFlight, it is production. In the simulator it is sandbox.
    ///
    /// - Parameter bundle: the app's bundle. An extension passes its app's bundle.
    public static func ofThisApp(_ bundle: Bundle = .main) -> Environment {
        #if targetEnvironment(simulator)
            return .sandbox
        #else
            return of(profile: profile(in: bundle))
        #endif
    }

    /// Returns the environment that a provisioning profile names. The profile is a property list inside a signed message (CMS). Without a
    /// profile, or if it names no environment, the result is production.
    static func of(profile: Data?) -> Environment {
        profile.flatMap(named(by:)) == "development" ? .sandbox : .production
    }

    /// Returns whether this app's provisioning profile lets it receive pushes. Without a profile, as in apps from the App Store and
    /// TestFlight, the result is true.
    ///
    /// - Parameter bundle: the app's bundle. An extension passes its app's bundle.
    public static func allowsPushes(_ bundle: Bundle = .main) -> Bool {
        profile(in: bundle).map { named(by: $0) != nil } ?? true
    }

    private static func named(by profile: Data) -> String? {
        guard let start = profile.range(of: Data("<?xml".utf8)),
            let end = profile.range(of: Data("</plist>".utf8), in: start.upperBound..<profile.endIndex),
            let content = try? PropertyListSerialization.propertyList(
                from: profile[start.lowerBound..<end.upperBound], options: [], format: nil),
            let entitlements = (content as? [String: Any])?["Entitlements"] as? [String: Any]
        else { return nil }
        // iOS and similar systems have the first key. macOS has the second.
        return (entitlements["aps-environment"] ?? entitlements["com.apple.developer.aps-environment"]) as? String
    }

    private static func profile(in bundle: Bundle) -> Data? {
        #if os(macOS) || targetEnvironment(macCatalyst)
            let url = bundle.bundleURL.appendingPathComponent("Contents/embedded.provisionprofile")
        #else
            let url = bundle.bundleURL.appendingPathComponent("embedded.mobileprovision")
        #endif
        return try? Data(contentsOf: url)
    }
}
