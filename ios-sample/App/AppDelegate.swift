import Foundation
import SampleCore
import SipWake
import UIKit
import UserNotifications

/// Makes the app when iOS starts it, be it for its user or for a push.
final class AppDelegate: NSObject, UIApplicationDelegate {
    private(set) var model: AppModel?
    /// Why there is no model.
    private(set) var failure: String?
    private var phone: Phone?

    func application(
        _ application: UIApplication, didFinishLaunchingWithOptions options: [UIApplication.LaunchOptionsKey: Any]? = nil
    ) -> Bool {
        do {
            // In this order, and before this returns: the client with its accounts, then PushKit, whose delegate may run next.
            let model = try AppModel(store: keychain, app: .bundled, opening: payloadOpener)
            let phone = Phone(model)
            (self.model, self.phone) = (model, phone)
            Task { await model.start(phone) }
        } catch {
            failure = error.localizedDescription
        }
        UNUserNotificationCenter.current().requestAuthorization(options: [.alert, .sound]) { granted, _ in
            guard granted else { return }
            Task { @MainActor in UIApplication.shared.registerForRemoteNotifications() }
        }
        return true
    }

    func application(_ application: UIApplication, didRegisterForRemoteNotificationsWithDeviceToken token: Data) {
        phone?.alertToken(token)
    }

    func applicationProtectedDataDidBecomeAvailable(_ application: UIApplication) {
        Task { await model?.unlocked() }
    }
}

extension AppIdentity {
    fileprivate static var bundled: AppIdentity {
        let team = Bundle.main.object(forInfoDictionaryKey: "SampleTeam") as? String
        #if DEBUG
            let sandbox = true
        #else
            let sandbox = false
        #endif
        return AppIdentity(
            bundle: Bundle.main.bundleIdentifier ?? "", team: team?.isEmpty == false ? team : nil, sandbox: sandbox)
    }
}
