#if SIPWAKE_STANDINS || (canImport(UIKit) && (os(iOS) || os(visionOS)))
    import AVFAudio
    import Foundation
    import Network
    import UIKit
    import UserNotifications
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    extension PhoneState {
        /// Returns the state of this phone, for ``SipWakeClient/report(_:)``: its settings, the app's entitlements, the last call, and
        /// how it is connected. It asks the user for nothing. It is not for extensions.
        ///
        /// - Parameters:
        ///   - calls: shows the app's calls. It knows why the last one was not shown.
        ///   - pushes: the app's bridge to PushKit. It knows whether the last push had to be reported.
        ///   - environment: the environment that the app tells the server, `PushConfig.environment`.
        ///   - bundle: the app's bundle.
        @available(iOSApplicationExtension, unavailable)
        @MainActor
        public static func ofThisPhone(
            calls: (any CallReporter)? = nil, pushes: PushKitBridge? = nil, environment: Environment? = nil,
            bundle: Bundle = .main
        ) async -> PhoneState {
            let (path, notifications) = await (currentPath(), UNUserNotificationCenter.current().notificationSettings())
            var found: [Obstacle] = []
            func add(_ obstacle: Obstacle, if isThere: Bool) { if isThere, !found.contains(obstacle) { found.append(obstacle) } }
            for obstacle in calls?.obstacles ?? [] { add(obstacle, if: true) }
            let modes = bundle.object(forInfoDictionaryKey: "UIBackgroundModes") as? [String] ?? []
            add(.notEntitled, if: pushes != nil && !modes.contains("voip"))
            add(.noPushEntitlement, if: !Environment.allowsPushes(bundle))
            add(.wrongPushEnvironment, if: environment.map { $0 != .serverDefault && $0 != .ofThisApp(bundle) } ?? false)
            let isAllowed = notifications.authorizationStatus != .denied && notifications.authorizationStatus != .notDetermined
            add(.notificationsOff, if: !isAllowed)
            add(.notificationsSilent, if: isAllowed && notifications.soundSetting == .disabled)
            add(.noMicrophone, if: AVAudioSession.sharedInstance().recordPermission != .granted)
            add(.noLocalNetwork, if: path.unsatisfiedReason == .localNetworkDenied)
            add(.backgroundRefreshOff, if: UIApplication.shared.backgroundRefreshStatus != .available)
            add(.lowPower, if: ProcessInfo.processInfo.isLowPowerModeEnabled)
            return PhoneState(obstacles: found, network: PhoneNetwork(path), mustReport: pushes?.lastMustReport)
        }

        /// A monitor knows nothing until it calls its handler for the first time.
        private static func currentPath() async -> NWPath {
            let monitor = NWPathMonitor()
            defer { monitor.cancel() }
            return await withCheckedContinuation { continuation in
                let first = First(continuation)
                monitor.pathUpdateHandler = { first.take($0) }
                monitor.start(queue: DispatchQueue(label: "sipwake.report"))
            }
        }
    }

    /// It is used only on the monitor's queue.
    private final class First: @unchecked Sendable {
        private var waiting: CheckedContinuation<NWPath, Never>?

        init(_ waiting: CheckedContinuation<NWPath, Never>) {
            self.waiting = waiting
        }

        func take(_ path: NWPath) {
            waiting?.resume(returning: path)
            waiting = nil
        }
    }

    extension PhoneNetwork {
        fileprivate init(_ path: NWPath) {
            self =
                if path.status != .satisfied { .none }
                else if path.usesInterfaceType(.wifi) { .wiFi }
                else if path.usesInterfaceType(.cellular) { .mobile }
                else if path.usesInterfaceType(.wiredEthernet) { .ethernet }
                else { .other }
        }
    }
#endif
