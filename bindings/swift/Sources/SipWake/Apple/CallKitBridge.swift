#if SIPWAKE_STANDINS || (canImport(CallKit) && os(iOS))
    import AVFAudio
    import CallKit
    import Foundation
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Shows sipwake's calls in CallKit, under the UUIDs that they have here, and carries out what the user does there: answer,
    /// decline, hang up. See ``CallDesk`` for how.
    ///
    /// All of it happens on the main queue.
    @MainActor
    public final class CallKitBridge: NSObject {
        /// Told when CallKit gives (true) or takes the audio session: that is when audio may start, and not before.
        public var audioSessionChanged: ((AVAudioSession, Bool) -> Void)?

        private let provider: CXProvider
        private let desk: CallDesk

        /// Sets up CallKit, and follows the client's calls until it ends.
        ///
        /// - Parameters:
        ///   - media: the app's media engine.
        ///   - configuration: what CallKit shows of the app.
        public init(
            _ client: SipWakeClient, media: any CallMedia, configuration: CXProviderConfiguration = CXProviderConfiguration()
        ) {
            provider = CXProvider(configuration: configuration)
            desk = CallDesk(client, screen: Screen(provider), media: media)
            super.init()
            provider.setDelegate(self, queue: .main)
        }

        /// Does what a push asks of CallKit. The call is reported when this returns, as PushKit demands.
        public func report(_ action: PushAction, done: @escaping @MainActor () -> Void) {
            desk.report(action, done: done)
        }
    }

    extension CallKitBridge: CXProviderDelegate {
        nonisolated public func providerDidReset(_ provider: CXProvider) {
            MainActor.assumeIsolated { desk.reset() }
        }

        nonisolated public func provider(_ provider: CXProvider, perform action: CXAnswerCallAction) {
            // CallKit calls on the main queue, where the action is used.
            nonisolated(unsafe) let action = action
            MainActor.assumeIsolated { desk.userAnswers(action.callUUID, action) }
        }

        nonisolated public func provider(_ provider: CXProvider, perform action: CXEndCallAction) {
            nonisolated(unsafe) let action = action
            MainActor.assumeIsolated { desk.userEnds(action.callUUID, action) }
        }

        nonisolated public func provider(_ provider: CXProvider, timedOutPerforming action: CXAction) {
            guard let call = (action as? CXAnswerCallAction)?.callUUID else { return }
            MainActor.assumeIsolated { desk.answerTimedOut(call) }
        }

        nonisolated public func provider(_ provider: CXProvider, didActivate audioSession: AVAudioSession) {
            nonisolated(unsafe) let session = audioSession
            MainActor.assumeIsolated { audioSessionChanged?(session, true) }
        }

        nonisolated public func provider(_ provider: CXProvider, didDeactivate audioSession: AVAudioSession) {
            nonisolated(unsafe) let session = audioSession
            MainActor.assumeIsolated { audioSessionChanged?(session, false) }
        }
    }

    extension CXAction: CallScreenAction {}

    private final class Screen: CallScreen {
        private let provider: CXProvider

        init(_ provider: CXProvider) {
            self.provider = provider
        }

        func show(_ call: ShownCall, done: @escaping @MainActor (Bool) -> Void) {
            provider.reportNewIncomingCall(with: call.uuid, update: CXCallUpdate(call)) { error in
                // A second push or the INVITE of a call that is shown already is no refusal.
                let taken = error == nil || (error as? CXErrorCodeIncomingCallError)?.code == .callUUIDAlreadyExists
                Task { @MainActor in done(taken) }
            }
        }

        func update(_ call: ShownCall) {
            provider.reportCall(with: call.uuid, updated: CXCallUpdate(call))
        }

        func end(_ call: UUID, _ reason: EndReason) {
            provider.reportCall(with: call, endedAt: nil, reason: CXCallEndedReason(reason))
        }
    }

    extension CXCallUpdate {
        fileprivate convenience init(_ call: ShownCall) {
            self.init()
            remoteHandle = CXHandle(type: .generic, value: call.caller)
            localizedCallerName = call.label
            hasVideo = call.video
            supportsHolding = false
            supportsGrouping = false
            supportsUngrouping = false
            supportsDTMF = false
        }
    }

    extension CXCallEndedReason {
        fileprivate init(_ reason: EndReason) {
            switch reason {
            case .answeredElsewhere: self = .answeredElsewhere
            case .declined, .declinedElsewhere: self = .declinedElsewhere
            case .missed, .unanswered: self = .unanswered
            case .failed, .other: self = .failed
            case .cancelled, .hungUpByCaller, .hungUp, .loggedOut: self = .remoteEnded
            }
        }
    }
#endif
