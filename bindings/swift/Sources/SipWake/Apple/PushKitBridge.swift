#if SIPWAKE_STANDINS || (canImport(PushKit) && canImport(CallKit) && os(iOS))
    import Foundation
    import PushKit
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Takes VoIP pushes and tokens from PushKit. Make it when the app starts, with a client that has its accounts: a client
    /// without accounts makes no sound for any push.
    ///
    /// All of it happens on the main queue. A call is reported to CallKit before the delegate returns; iOS kills apps that don't.
    @MainActor
    public final class PushKitBridge: NSObject {
        /// To whom the tokens are given. Set it when somebody logs in or out: who is new here gets them at once.
        public var accounts: [AccountID] {
            didSet { if accounts != oldValue { give(registry.pushToken(for: .voIP).map(hexadecimal)) } }
        }

        private let client: SipWakeClient
        private let calls: CallKitBridge
        private let registry: PKPushRegistry
        private var alert: String?

        /// Asks PushKit for a token and waits for pushes.
        ///
        /// - Parameter accounts: who is logged in.
        public init(_ client: SipWakeClient, calls: CallKitBridge, accounts: [AccountID]) {
            self.client = client
            self.calls = calls
            self.accounts = accounts
            registry = PKPushRegistry(queue: .main)
            super.init()
            registry.delegate = self
            registry.desiredPushTypes = [.voIP]
        }

        /// Takes the token for alerts, from `application(_:didRegisterForRemoteNotificationsWithDeviceToken:)`.
        public func alertToken(_ token: Data) {
            alert = hexadecimal(token)
            give(registry.pushToken(for: .voIP).map(hexadecimal))
        }

        private func give(_ token: String?) {
            Task { [client, accounts, alert] in
                for account in accounts { _ = try? await client.setToken(token, alert: alert, for: account) }
            }
        }

        private func forget() {
            Task { [client, accounts] in
                for account in accounts { try? await client.unbindPush(account) }
            }
        }

        private func receive(_ payload: PKPushPayload, mustReport: Bool?, done: @escaping @MainActor () -> Void) {
            let hints = PushHints(mustReport: mustReport)
            calls.report(client.push(payload.dictionaryPayload, channel: .pushKit, hints: hints), done: done)
        }
    }

    extension PushKitBridge: PKPushRegistryDelegate {
        nonisolated public func pushRegistry(
            _ registry: PKPushRegistry, didUpdate credentials: PKPushCredentials, for type: PKPushType
        ) {
            guard type == .voIP else { return }
            let token = hexadecimal(credentials.token)
            MainActor.assumeIsolated { give(token) }
        }

        nonisolated public func pushRegistry(_ registry: PKPushRegistry, didInvalidatePushTokenFor type: PKPushType) {
            guard type == .voIP else { return }
            MainActor.assumeIsolated { forget() }
        }

        // The form with a completion handler, not the async one: only here is it certain that the call is reported before
        // the delegate returns.
        nonisolated public func pushRegistry(
            _ registry: PKPushRegistry, didReceiveIncomingPushWith payload: PKPushPayload, for type: PKPushType,
            completion: @escaping () -> Void
        ) {
            guard type == .voIP else { return completion() }
            // PushKit calls on the main queue, and has its handler called there or elsewhere.
            nonisolated(unsafe) let (payload, completion) = (payload, completion)
            MainActor.assumeIsolated { receive(payload, mustReport: nil) { completion() } }
        }

        #if SIPWAKE_STANDINS || compiler(>=6.3)
            @available(iOS 26.4, *)
            nonisolated public func pushRegistry(
                _ registry: PKPushRegistry, didReceiveIncomingVoIPPushWith payload: PKPushPayload,
                metadata: PKVoIPPushMetadata, withCompletionHandler completion: @escaping () -> Void
            ) {
                nonisolated(unsafe) let (payload, completion) = (payload, completion)
                let mustReport = metadata.mustReport
                MainActor.assumeIsolated { receive(payload, mustReport: mustReport) { completion() } }
            }
        #endif
    }

    private func hexadecimal(_ token: Data) -> String {
        token.map { String(format: "%02x", $0) }.joined()
    }
#endif
