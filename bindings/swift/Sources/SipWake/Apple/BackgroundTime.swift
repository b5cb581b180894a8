#if SIPWAKE_STANDINS || (canImport(UIKit) && (os(iOS) || os(visionOS)))
    import Foundation
    import UIKit
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// UIKit's background tasks, for ``ClientOptions/backgroundTime``. Not for extensions.
    @available(iOSApplicationExtension, unavailable)
    public struct UIKitBackgroundTime: BackgroundTime {
        public init() {}

        public func begin(_ name: String) -> @Sendable () -> Void {
            let held = Held()
            Task { @MainActor in held.begin(name) }
            return { Task { @MainActor in held.end() } }
        }
    }

    @available(iOSApplicationExtension, unavailable)
    @MainActor
    private final class Held {
        private var task = UIBackgroundTaskIdentifier.invalid
        private var over = false

        nonisolated init() {}

        func begin(_ name: String) {
            guard !over else { return }
            // If an app does not end its task when this handler is called, iOS kills the app.
            task = UIApplication.shared.beginBackgroundTask(withName: name) { [self] in
                MainActor.assumeIsolated { end() }
            }
        }

        func end() {
            over = true
            guard task != .invalid else { return }
            UIApplication.shared.endBackgroundTask(task)
            task = .invalid
        }
    }
#endif
