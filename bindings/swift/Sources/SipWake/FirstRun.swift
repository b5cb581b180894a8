import Foundation

/// Distinguishes the first run after an installation from later ones. The Keychain outlives a deleted app; a file does not.
///
/// The marker has no file protection, so that it can be read before the phone's first unlock, and holds nothing. An app that finds
/// ``State/fresh`` and yet records in its Keychain logs their users out instead of in: they belong to an installation before.
public struct FirstRun: Sendable {
    /// What the marker says.
    public enum State: Hashable, Sendable {
        /// The app was never run since it was installed.
        case fresh
        /// It was.
        case known
        /// Nobody can say. This is not a new installation: log nobody out.
        case unreadable(Failure)
    }

    private let marker: URL

    /// - Parameter folder: where the marker is; nil: the app's own folder for such files.
    public init(folder: URL? = nil) {
        let folder = folder ?? FileManager.default.urls(for: .applicationSupportDirectory, in: .userDomainMask)[0]
        marker = folder.appendingPathComponent("sipwake-installed")
    }

    /// Reads the marker.
    public func state() -> State {
        do {
            // The folder's list tells "not there" from "cannot be looked at".
            let folder = marker.deletingLastPathComponent()
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            return names.contains(marker.lastPathComponent) ? .known : .fresh
        } catch CocoaError.fileReadNoSuchFile {
            return .fresh
        } catch {
            return .unreadable(Failure(domain: "FirstRun", doing: "read the marker", error))
        }
    }

    /// Leaves the marker, once the records of a former installation are dealt with.
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
