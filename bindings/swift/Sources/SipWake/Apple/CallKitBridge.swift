#if SIPWAKE_STANDINS || (canImport(CallKit) && (os(iOS) || os(visionOS)))
    import AVFAudio
    import CallKit
    import Foundation
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Shows sipwake's calls in CallKit, with the same UUIDs, and carries out the user's actions there. See ``CallDesk`` for how. An app
    /// may have one provider, so create one bridge and keep it.
    ///
    /// Everything happens on the main queue.
    @MainActor
    public final class CallKitBridge: NSObject, CallReporter {
        /// Sets up the audio session, category and mode, when the user answers. Apple wants that before the answer is fulfilled. Do not
        /// activate the session here. If it throws, there is a ``SipWakeEvent/failed(_:)``, and the call continues.
        public var configureAudio: (@MainActor () throws -> Void)?
        /// Called when CallKit gives (true) or takes the audio session. Audio can start then, and not before.
        public var audioSessionChanged: (@MainActor (AVAudioSession, Bool) -> Void)?

        private let client: any PushClient
        private let provider: CXProvider
        private let desk: CallDesk

        /// Sets up CallKit, and follows the client's calls until it ends.
        ///
        /// - Parameters:
        ///   - media: the app's media engine.
        ///   - configuration: the app's settings for CallKit. `includesCallsInRecents` decides whether the phone's recents list its
        ///     calls.
        ///   - features: the features that the user gets during a call.
        ///   - policy: when an answer is fulfilled.
        public convenience init(
            _ client: SipWakeClient, media: any CallMedia, configuration: CXProviderConfiguration = CXProviderConfiguration(),
            features: CallFeatures = [], answering policy: AnswerPolicy = .answerable
        ) {
            self.init(client, configuration, features) { CallDesk(client, screen: $0, media: media, answering: policy) }
        }

        /// The same for the calls of a companion's stack.
        ///
        /// - Parameter controls: carries out the user's commands for a call besides answering and ending it.
        public convenience init(
            _ companion: SipWakeCompanion, controls: any CallControls, configuration: CXProviderConfiguration = CXProviderConfiguration(),
            features: CallFeatures = [], answering policy: AnswerPolicy = .answerable
        ) {
            self.init(companion, configuration, features) { CallDesk(companion, screen: $0, controls: controls, answering: policy) }
        }

        private init(
            _ client: any PushClient, _ configuration: CXProviderConfiguration, _ features: CallFeatures,
            desk: (any CallScreen) -> CallDesk
        ) {
            self.client = client
            provider = CXProvider(configuration: configuration)
            self.desk = desk(Screen(provider, features))
            super.init()
            provider.setDelegate(self, queue: .main)
        }

        /// Carries out what a push asks of CallKit. The call is reported when this returns, as PushKit demands.
        public func report(_ action: PushAction, done: @escaping @MainActor () -> Void) {
            desk.report(action, done: done)
        }

        public var obstacles: [Obstacle] { desk.obstacles }

        /// Ends all calls and invalidates the provider, so that the app can create another bridge.
        public func invalidate() {
            desk.reset()
            provider.invalidate()
        }

        private func answer(_ action: CXAnswerCallAction) {
            do { try configureAudio?() } catch {
                client.note(Failure(domain: "AVFAudio", doing: "configure the audio session", error))
            }
            desk.userAnswers(action.callUUID, action)
        }
    }

    // CallKit calls on the main queue, where its actions are used and stay.
    extension CallKitBridge: CXProviderDelegate {
        nonisolated public func providerDidReset(_ provider: CXProvider) {
            MainActor.assumeIsolated { desk.reset() }
        }

        nonisolated public func provider(_ provider: CXProvider, perform action: CXAnswerCallAction) {
            nonisolated(unsafe) let action = action
            MainActor.assumeIsolated { answer(action) }
        }

        nonisolated public func provider(_ provider: CXProvider, perform action: CXEndCallAction) {
            nonisolated(unsafe) let action = action
            MainActor.assumeIsolated { desk.userEnds(action.callUUID, action) }
        }

        nonisolated public func provider(_ provider: CXProvider, perform action: CXSetMutedCallAction) {
            nonisolated(unsafe) let action = action
            MainActor.assumeIsolated { desk.userWants(.mute(action.isMuted), of: action.callUUID, action) }
        }

        nonisolated public func provider(_ provider: CXProvider, perform action: CXSetHeldCallAction) {
            nonisolated(unsafe) let action = action
            MainActor.assumeIsolated { desk.userWants(.hold(action.isOnHold), of: action.callUUID, action) }
        }

        nonisolated public func provider(_ provider: CXProvider, perform action: CXPlayDTMFCallAction) {
            nonisolated(unsafe) let action = action
            MainActor.assumeIsolated { desk.userWants(.dtmf(action.digits), of: action.callUUID, action) }
        }

        nonisolated public func provider(_ provider: CXProvider, perform action: CXSetGroupCallAction) {
            nonisolated(unsafe) let action = action
            MainActor.assumeIsolated { desk.userWants(.group(with: action.callUUIDToGroupWith), of: action.callUUID, action) }
        }

        nonisolated public func provider(_ provider: CXProvider, timedOutPerforming action: CXAction) {
            nonisolated(unsafe) let action = action
            let call = (action as? CXAnswerCallAction)?.callUUID
            MainActor.assumeIsolated {
                client.note(Failure(domain: "CallKit", doing: "wait for \(type(of: action))", reason: "CallKit's time is up"))
                // The action itself is over. CallKit no longer wants it fulfilled or failed.
                if let call { desk.answerTimedOut(call) }
            }
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

    extension CXAction: CallScreenAction {
        public var deadline: Date? { timeoutDate }
    }

    private final class Screen: CallScreen {
        private let provider: CXProvider
        private let features: CallFeatures

        init(_ provider: CXProvider, _ features: CallFeatures) {
            self.provider = provider
            self.features = features
        }

        func show(_ call: ShownCall, done: @escaping @MainActor (ShowOutcome) -> Void) {
            // CallKit calls back on its own queue.
            provider.reportNewIncomingCall(with: call.uuid, update: CXCallUpdate(call, features)) { @Sendable error in
                let outcome = ShowOutcome(error)
                Task { @MainActor in done(outcome) }
            }
        }

        func update(_ call: ShownCall) {
            provider.reportCall(with: call.uuid, updated: CXCallUpdate(call, features))
        }

        func end(_ call: UUID, _ reason: EndReason) {
            provider.reportCall(with: call, endedAt: nil, reason: CXCallEndedReason(reason))
        }
    }

    extension ShowOutcome {
        /// Reads CallKit's result for a reported call. Nil means that the call is shown.
        public init(_ error: (any Error)?) {
            guard let error else {
                self = .new
                return
            }
            let refusal: Refusal
            switch (error as? CXErrorCodeIncomingCallError)?.code {
            case .callUUIDAlreadyExists:
                self = .known
                return
            case .filteredByDoNotDisturb: refusal = .doNotDisturb
            case .filteredByBlockList: refusal = .blocked
            case .unentitled: refusal = .unentitled
            default: refusal = .other
            }
            self = .refused(refusal, Failure(domain: "CallKit", doing: "report an incoming call", error))
        }
    }

    extension CXCallUpdate {
        /// The details that CallKit shows of a call.
        public convenience init(_ call: ShownCall, _ features: CallFeatures = []) {
            self.init()
            remoteHandle = CXHandle(type: .generic, value: call.caller)
            localizedCallerName = call.label
            hasVideo = call.video
            supportsHolding = features.contains(.holding)
            supportsGrouping = features.contains(.grouping)
            supportsUngrouping = features.contains(.grouping)
            supportsDTMF = features.contains(.dtmf)
        }
    }

    extension CXCallEndedReason {
        /// CallKit's name for how a call ended.
        public init(_ reason: EndReason) {
            switch reason {
            case .answeredElsewhere: self = .answeredElsewhere
            case .declined, .declinedElsewhere: self = .declinedElsewhere
            case .missed, .unanswered: self = .unanswered
            case .cancelled, .hungUpByCaller, .hungUp, .loggedOut: self = .remoteEnded
            default: self = .failed
            }
        }
    }
#endif
