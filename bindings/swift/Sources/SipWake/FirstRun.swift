import Foundation

/// Distinguishes the first run after an installation from later ones. The Keychain stays when the user deletes the app, but a file does
/// not.
///
/// The marker has no file protection, so that it can be read before the phone's first unlock. It holds nothing. If an app finds
/// ``State/fresh`` and there are records in its Keychain, it must log their users out and not in, because the records belong to an
/// earlier installation.
public struct FirstRun: Sendable {
    /// The state of the marker.
    public enum State: Hashable, Sendable {
        /// The app has not run since it was installed.
        case fresh
        /// The app has run before.
        case known
        /// Unknown. Do not treat it as a new installation, and log nobody out.
        case unreadable(Failure)
    }

    private let marker: URL

    /// - Parameter folder: the marker's folder. Nil means the app's own folder for such files.
    public init(folder: URL? = nil) {
        let folder = folder ?? FileManager.default.urls(for: .applicationSupportDirectory, in: .userDomainMask)[0]
        marker = folder.appendingPathComponent("sipwake-installed")
    }

    /// Reads the marker.
    public func state() -> State {
        do {
            // The folder's list distinguishes "not there" from "cannot be read".
            let folder = marker.deletingLastPathComponent()
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            return names.contains(marker.lastPathComponent) ? .known : .fresh
        } catch CocoaError.fileReadNoSuchFile {
            return .fresh
        } catch {
            return .unreadable(Failure(domain: "FirstRun", doing: "read the marker", error))
        }
    }

    /// Writes the marker. Call it when the app has handled the records of a former installation.
    public func markKnown() throws {
        let folder = marker.deletingLastPathComponent()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        #if canImport(Darwin)
            try Data().write(to: marker, options: .noFileProtection)
            var marker = marker
            var values = URLResourceValues()
            // A backup that is restored on another phone has no Keychain records of this device.
            values.isExcludedFromBackup = true
            try marker.setResourceValues(values)
        #else
            try Data().write(to: marker)
        #endif
    }
}
