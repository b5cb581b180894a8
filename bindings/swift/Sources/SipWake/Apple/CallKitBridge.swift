#if canImport(CallKit) && os(iOS)
    import CallKit
    import Foundation

    /// Shows sipwake's calls in CallKit, under the UUIDs that they have here, and brings the user's "decline" back.
    ///
    /// All of it happens on the main queue.
    @MainActor
    public final class CallKitBridge: NSObject {
        private let client: SipWakeClient
        private let provider: CXProvider
        private var shown: Set<UUID> = []

        /// Sets up CallKit, and follows the client's calls until it ends.
        ///
        /// - Parameter configuration: what CallKit shows of the app.
        public init(_ client: SipWakeClient, configuration: CXProviderConfiguration = CXProviderConfiguration()) {
            self.client = client
            provider = CXProvider(configuration: configuration)
            super.init()
            provider.setDelegate(self, queue: .main)
            let events = client.events()
            Task { [weak self] in
                for await event in events { self?.follow(event) }
            }
        }

        /// Does what a push asks of CallKit. The call is reported when this returns, as PushKit demands.
        public func report(_ action: PushAction, done: @escaping @Sendable () -> Void) {
            switch action.duty {
            case .reportCall:
                show(action.uuid, caller: action.caller, label: action.callerLabel, video: action.kind == .incomingCall(video: true), done: done)
            case .reportThenEnd:
                show(action.uuid, caller: action.caller, label: action.callerLabel, video: false, done: done)
                end(action.uuid, .remoteEnded)
            case .showNotification, .startForegroundService, .nothing:
                done()
            }
        }

        private func show(_ uuid: UUID, caller: String?, label: String?, video: Bool, done: @escaping @Sendable () -> Void) {
            let update = CXCallUpdate()
            update.remoteHandle = CXHandle(type: .generic, value: caller ?? "")
            update.localizedCallerName = label
            update.hasVideo = video
            shown.insert(uuid)
            provider.reportNewIncomingCall(with: uuid, update: update) { [weak self, client] error in
                done()
                guard let error else { return }
                // A second push or the INVITE of a call that is shown already is no refusal.
                if (error as? CXErrorCodeIncomingCallError)?.code == .callUUIDAlreadyExists { return }
                Task { @MainActor in
                    self?.shown.remove(uuid)
                    // The user does not want to be disturbed: this device is busy, others go on ringing.
                    try? await client.decline(uuid, .busy)
                }
            }
        }

        private func follow(_ event: SipWakeEvent) {
            guard case .call(let uuid, _, let change) = event else { return }
            switch change {
            case .announced(let caller):
                if !shown.contains(uuid) { show(caller, uuid) }
            case .ringing(let caller, _, _):
                if !shown.contains(uuid) { show(caller, uuid) }
            case .ended(let reason, _):
                end(uuid, CXCallEndedReason(reason))
            default:
                break
            }
        }

        private func show(_ caller: Caller, _ uuid: UUID) {
            show(uuid, caller: caller.uri, label: caller.displayName, video: false) {}
        }

        private func end(_ uuid: UUID, _ reason: CXCallEndedReason) {
            guard shown.remove(uuid) != nil else { return }
            provider.reportCall(with: uuid, endedAt: nil, reason: reason)
        }
    }

    extension CallKitBridge: CXProviderDelegate {
        nonisolated public func providerDidReset(_ provider: CXProvider) {
            MainActor.assumeIsolated {
                let calls = shown
                shown = []
                Task { [client] in
                    for call in calls { try? await client.decline(call, .busy) }
                }
            }
        }

        nonisolated public func provider(_ provider: CXProvider, perform action: CXEndCallAction) {
            let uuid = action.callUUID
            action.fulfill()
            MainActor.assumeIsolated {
                shown.remove(uuid)
                Task { [client] in try? await client.decline(uuid) }
            }
        }
    }

    extension CXCallEndedReason {
        init(_ reason: EndReason) {
            switch reason {
            case .answeredElsewhere: self = .answeredElsewhere
            case .declined: self = .declinedElsewhere
            case .missed, .unanswered: self = .unanswered
            default: self = .remoteEnded
            }
        }
    }
#endif
