import AVFAudio
import CallKit
import Foundation
import PushKit
import SampleCore
import SipWake
import UserNotifications

/// The SDK's bridges, created with the app: from the start, each VoIP push is reported to CallKit, no matter who is logged in.
@MainActor
final class Phone: PhoneSystem {
    private let calls: CallKitBridge
    private let pushes: PushKitBridge
    private let network: NetworkWatch
    private let refresh: BackgroundRefresh
    private let controller = CXCallController()
    private weak var model: AppModel?

    init(_ model: AppModel) {
        self.model = model
        calls = CallKitBridge(model.client, media: model.media, configuration: .sample)
        // A media engine starts its audio here, and nowhere else: before, the session is not the app's.
        calls.audioSessionChanged = { [weak model] _, active in model?.audioSession(active: active) }
        pushes = PushKitBridge(model.client, calls: calls, accounts: model.accounts)
        network = NetworkWatch(model.client)
        // The name is in Info.plist, under BGTaskSchedulerPermittedIdentifiers.
        let name = (Bundle.main.bundleIdentifier ?? "") + ".refresh"
        refresh = BackgroundRefresh(model.client, accounts: model.accounts, identifier: name)
        pushes.onPush = { [weak model] action, _ in
            Task {
                guard let notification = action.notification else { return }
                do { try await UNUserNotificationCenter.current().add(notification) } catch {
                    model?.client.note(Failure(domain: "UserNotifications", doing: "show a message", error))
                }
            }
        }
    }

    func alertToken(_ token: Data) {
        pushes.alertToken(token)
    }

    func giveTokens(to accounts: [AccountID]) {
        pushes.accounts = accounts
        refresh.accounts = accounts
    }

    // What the user does on the app's own screen goes through CallKit, which then asks the bridge: one way for both screens.
    func answer(_ call: UUID) {
        perform(CXAnswerCallAction(call: call))
    }

    func end(_ call: UUID) {
        perform(CXEndCallAction(call: call))
    }

    func state() async -> PhoneState {
        await .ofThisPhone(calls: calls, pushes: pushes)
    }

    private func perform(_ action: CXCallAction) {
        let call = action.callUUID
        // CallKit calls back on a queue of its own.
        controller.request(CXTransaction(action: action)) { @Sendable [model] error in
            guard let error else { return }
            Task { @MainActor in model?.refused(call, "CallKit refused: \(error.localizedDescription)") }
        }
    }
}

extension CXProviderConfiguration {
    fileprivate static var sample: CXProviderConfiguration {
        let configuration = CXProviderConfiguration()
        configuration.supportsVideo = false
        configuration.maximumCallGroups = 2
        configuration.maximumCallsPerCallGroup = 1
        configuration.supportedHandleTypes = [.generic]
        return configuration
    }
}
