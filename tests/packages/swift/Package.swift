// swift-tools-version: 6.0

import PackageDescription

// Uses the Swift package that scripts/build-ios made, as an app would: from its folder, which SIPWAKE_PACKAGE names.
let package = Package(
    name: "UsePackage",
    platforms: [.macOS(.v12)],
    dependencies: [.package(name: "SipWake", path: Context.environment["SIPWAKE_PACKAGE"] ?? "SipWake")],
    targets: [.executableTarget(name: "UsePackage", dependencies: ["SipWake"])],
    swiftLanguageModes: [.v6]
)
