#if SIPWAKE_STANDINS || (canImport(PushKit) && (os(iOS) || os(visionOS)))
    import Foundation
    import PushKit
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Takes VoIP pushes and tokens from PushKit. Create it when the app starts, with a client, or a companion for another stack, that
    /// has its accounts. Without accounts it is silent for every push.
    ///
    /// Everything happens on the main queue. A call is reported before the delegate returns, because iOS kills apps that don't do so.
    @MainActor
    public final class PushKitBridge: NSObject {
        /// The accounts that get the tokens. Set it when somebody logs in or out. A new account gets them at once.
        public var accounts: [AccountID] {
            didSet { if accounts != oldValue { tokens.give(to: accounts) } }
        }
        /// Gets each push after it is reported. The app handles chat and custom pushes.
        public var onPush: (@MainActor (PushAction, [AnyHashable: Any]) -> Void)?

        /// Whether the last push had to be reported, if iOS says so.
        private(set) var lastMustReport: Bool?
        private let client: any PushClient
        private let calls: any CallReporter
        private let registry: PKPushRegistry
        private let tokens: Tokens

        /// Asks PushKit for a token and waits for pushes.
        ///
        /// - Parameters:
        ///   - calls: reports calls: a `CallKitBridge`, a ``CallDesk`` with a screen of the app's own, or any other reporter.
        ///   - accounts: the accounts of the logged-in users.
        public init(_ client: any PushClient, calls: any CallReporter, accounts: [AccountID]) {
            self.client = client
            self.calls = calls
            self.accounts = accounts
            registry = PKPushRegistry(queue: .main)
            tokens = Tokens(client)
            super.init()
            tokens.calls = registry.pushToken(for: .voIP).map(Tokens.text)
            registry.delegate = self
            registry.desiredPushTypes = [.voIP]
        }

        /// Takes the token for alerts, from `application(_:didRegisterForRemoteNotificationsWithDeviceToken:)`.
        public func alertToken(_ token: Data) {
            tokens.alert = Tokens.text(token)
            tokens.give(to: accounts)
        }

        private func take(_ credentials: PKPushCredentials) {
            tokens.calls = Tokens.text(credentials.token)
            tokens.give(to: accounts)
        }

        private func receive(_ payload: [AnyHashable: Any], mustReport: Bool?, done: @escaping @MainActor () -> Void) {
            lastMustReport = mustReport
            let action = client.push(payload, channel: .pushKit, hints: PushHints(mustReport: mustReport))
            calls.report(action, done: done)
            onPush?(action, payload)
        }
    }

    // PushKit calls on the main queue. Its handlers may be called there or elsewhere.
    extension PushKitBridge: PKPushRegistryDelegate {
        nonisolated public func pushRegistry(
            _ registry: PKPushRegistry, didUpdate credentials: PKPushCredentials, for type: PKPushType
        ) {
            guard type == .voIP else { return }
            nonisolated(unsafe) let credentials = credentials
            MainActor.assumeIsolated { take(credentials) }
        }

        nonisolated public func pushRegistry(_ registry: PKPushRegistry, didInvalidatePushTokenFor type: PKPushType) {
            guard type == .voIP else { return }
            MainActor.assumeIsolated { tokens.forget(accounts) }
        }

        // This is the form with a completion handler, not the async one. Only here is it certain that the call is reported before the
        // delegate returns.
        nonisolated public func pushRegistry(
            _ registry: PKPushRegistry, didReceiveIncomingPushWith payload: PKPushPayload, for type: PKPushType,
            completion: @escaping () -> Void
        ) {
            guard type == .voIP else { return completion() }
            nonisolated(unsafe) let (payload, completion) = (payload.dictionaryPayload, completion)
            MainActor.assumeIsolated { receive(payload, mustReport: nil) { completion() } }
        }

        #if SIPWAKE_STANDINS || compiler(>=6.3)
            @available(iOS 26.4, visionOS 26.4, *)
            nonisolated public func pushRegistry(
                _ registry: PKPushRegistry, didReceiveIncomingVoIPPushWith payload: PKPushPayload,
                metadata: PKVoIPPushMetadata, withCompletionHandler completion: @escaping () -> Void
            ) {
                nonisolated(unsafe) let (payload, completion) = (payload.dictionaryPayload, completion)
                let mustReport = metadata.mustReport
                MainActor.assumeIsolated { receive(payload, mustReport: mustReport) { completion() } }
            }
        #endif
    }
#endif
