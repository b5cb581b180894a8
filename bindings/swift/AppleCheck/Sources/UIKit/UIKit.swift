import Foundation

public struct UIBackgroundTaskIdentifier: Hashable, Sendable {
    let number: Int
    public static let invalid = Self(number: 0)
}

public enum UIBackgroundRefreshStatus: Int, Sendable { case restricted, denied, available }

/// Foundation's type, if it is Apple's Foundation.
extension ProcessInfo {
    public nonisolated(unsafe) static var isPlayedLowPower = false
    public var isLowPowerModeEnabled: Bool { Self.isPlayedLowPower }
}

@MainActor
public class UIApplication: NSObject {
    public struct LaunchOptionsKey: Hashable, Sendable {}

    public static let shared = UIApplication()
    public func registerForRemoteNotifications() {}

    /// Set by the tests.
    public var backgroundRefreshStatus = UIBackgroundRefreshStatus.available

    /// Names of the running background tasks.
    public private(set) var backgroundTasks: [UIBackgroundTaskIdentifier: String] = [:]
    /// Names of all tasks that ever began.
    public private(set) var begun: [String] = []

    public func beginBackgroundTask(withName name: String?, expirationHandler: (() -> Void)? = nil) -> UIBackgroundTaskIdentifier {
        begun.append(name ?? "")
        let task = UIBackgroundTaskIdentifier(number: begun.count)
        backgroundTasks[task] = name ?? ""
        return task
    }

    public func endBackgroundTask(_ task: UIBackgroundTaskIdentifier) {
        backgroundTasks[task] = nil
    }
}

@MainActor
public protocol UIApplicationDelegate: NSObjectProtocol {
    func application(
        _ application: UIApplication, didFinishLaunchingWithOptions options: [UIApplication.LaunchOptionsKey: Any]?
    ) -> Bool
    func application(_ application: UIApplication, didRegisterForRemoteNotificationsWithDeviceToken token: Data)
    func application(_ application: UIApplication, didFailToRegisterForRemoteNotificationsWithError error: any Error)
    func applicationProtectedDataDidBecomeAvailable(_ application: UIApplication)
}

// Optional, as in UIKit.
extension UIApplicationDelegate {
    public func application(_ application: UIApplication, didRegisterForRemoteNotificationsWithDeviceToken token: Data) {}
    public func application(_ application: UIApplication, didFailToRegisterForRemoteNotificationsWithError error: any Error) {}
    public func applicationProtectedDataDidBecomeAvailable(_ application: UIApplication) {}
}
