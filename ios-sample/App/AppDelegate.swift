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
            let model = try AppModel(
                store: keychain, app: .bundled, opening: payloadOpener, firstRun: FirstRun(),
                backgroundTime: UIKitBackgroundTime())
            let phone = Phone(model)
            (self.model, self.phone) = (model, phone)
            Task { await model.start(phone) }
        } catch {
            failure = error.localizedDescription
        }
        Task { await askForNotifications() }
        return true
    }

    // The async form: a handler written here would belong to the main actor, and UserNotifications calls it elsewhere.
    private func askForNotifications() async {
        do {
            guard try await UNUserNotificationCenter.current().requestAuthorization(options: [.alert, .sound]) else { return }
            UIApplication.shared.registerForRemoteNotifications()
        } catch {
            model?.client.note(Failure(domain: "UserNotifications", doing: "ask for permission", error))
        }
    }

    func application(_ application: UIApplication, didFailToRegisterForRemoteNotificationsWithError error: any Error) {
        model?.client.note(Failure(domain: "APNs", doing: "get a token for alerts", error))
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
        return AppIdentity(
            bundle: Bundle.main.bundleIdentifier ?? "", team: team?.isEmpty == false ? team : nil, environment: .ofThisApp())
    }
}
