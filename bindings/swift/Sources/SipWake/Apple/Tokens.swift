#if SIPWAKE_STANDINS || os(iOS) || os(visionOS)
    import Foundation
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// The push tokens of this device, which go to the accounts. Failures become events.
    @MainActor
    final class Tokens {
        /// PushKit's token.
        var calls: String?
        /// The token for alerts.
        var alert: String?
        private let client: any PushClient

        init(_ client: any PushClient) {
            self.client = client
        }

        func give(to accounts: [AccountID]) {
            Task { [client, calls, alert] in
                for account in accounts {
                    do { try await client.setToken(calls, alert: alert, for: account) } catch { tell("give the push token", error) }
                }
            }
        }

        func forget(_ accounts: [AccountID]) {
            calls = nil
            Task { [client] in
                for account in accounts {
                    do { try await client.unbindPush(account) } catch { tell("take the push token back", error) }
                }
            }
        }

        private func tell(_ doing: String, _ error: any Error) {
            if case SipWakeError.shutDown = error { return }
            client.note(Failure(domain: "sipwake", doing: doing, error))
        }

        static func text(_ token: Data) -> String {
            token.map { String(format: "%02x", $0) }.joined()
        }
    }
#endif
