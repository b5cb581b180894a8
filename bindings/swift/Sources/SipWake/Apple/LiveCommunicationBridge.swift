#if SIPWAKE_STANDINS || (canImport(LiveCommunicationKit) && (os(iOS) || os(visionOS)))
    import AVFAudio
    import Foundation
    import LiveCommunicationKit
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Shows sipwake's calls in LiveCommunicationKit, with the same UUIDs, as ``CallDesk`` says and as `CallKitBridge` does with CallKit.
    /// It is for apps that may not use CallKit, and for apps that use Apple's newer framework. An app has only one of the two.
    ///
    /// LiveCommunicationKit takes a call asynchronously. The report begins before ``report(_:done:)`` returns. `done` is PushKit's
    /// completion, and is called when the system has taken the call.
    @available(iOS 17.4, visionOS 1.1, *)
    @MainActor
    public final class LiveCommunicationBridge: NSObject, CallReporter {
        /// Sets up the audio session, category and mode, when the user answers. Do not activate it here. If it throws, there is a
        /// ``SipWakeEvent/failed(_:)``, and the call continues.
        public var configureAudio: (@MainActor () throws -> Void)?
        /// Called when the system gives (true) or takes the audio session. Audio can start then, and not before.
        public var audioSessionChanged: (@MainActor (AVAudioSession, Bool) -> Void)?

        private let client: any PushClient
        private let manager: ConversationManager
        private let desk: CallDesk

        /// Sets up LiveCommunicationKit, and follows the client's calls until it ends.
        ///
        /// - Parameters:
        ///   - media: the app's media engine.
        ///   - configuration: the app's settings for the system. Nil means two calls at a time, without video, listed among the recents.
        ///   - features: the features that the user gets during a call.
        ///   - policy: when an answer is fulfilled.
        public convenience init(
            _ client: SipWakeClient, media: any CallMedia, configuration: ConversationManager.Configuration? = nil,
            features: CallFeatures = [], answering policy: AnswerPolicy = .answerable
        ) {
            self.init(client, configuration, features) { CallDesk(client, screen: $0, media: media, answering: policy) }
        }

        /// The same for the calls of a companion's stack.
        ///
        /// - Parameter controls: carries out the user's commands for a call besides answering and ending it.
        public convenience init(
            _ companion: SipWakeCompanion, controls: any CallControls, configuration: ConversationManager.Configuration? = nil,
            features: CallFeatures = [], answering policy: AnswerPolicy = .answerable
        ) {
            self.init(companion, configuration, features) { CallDesk(companion, screen: $0, controls: controls, answering: policy) }
        }

        private init(
            _ client: any PushClient, _ configuration: ConversationManager.Configuration?, _ features: CallFeatures,
            desk: (any CallScreen) -> CallDesk
        ) {
            self.client = client
            let plain = ConversationManager.Configuration(
                ringtoneName: nil, iconTemplateImageData: nil, maximumConversationGroups: 2, maximumConversationsPerConversationGroup: 1,
                includesConversationInRecents: true, supportsVideo: false, supportedHandleTypes: [.generic])
            manager = ConversationManager(configuration: configuration ?? plain)
            self.desk = desk(ConversationScreen(manager, features))
            super.init()
            manager.delegate = self
        }

        /// Carries out what a push asks of the system.
        public func report(_ action: PushAction, done: @escaping @MainActor () -> Void) {
            desk.report(action, done: done)
        }

        public var obstacles: [Obstacle] { desk.obstacles }

        /// Ends all calls and invalidates the manager, so that the app can create another bridge.
        public func invalidate() {
            desk.reset()
            manager.invalidate()
        }

        private func perform(_ action: ConversationAction) {
            let call = action.conversationUUID
            switch action {
            case let join as JoinConversationAction:
                do { try configureAudio?() } catch {
                    client.note(Failure(domain: "AVFAudio", doing: "configure the audio session", error))
                }
                desk.userAnswers(call, Tap(join) { join.fulfill(dateConnected: Date()) })
            case let end as EndConversationAction:
                desk.userEnds(call, Tap(end) { end.fulfill(dateEnded: Date()) })
            case let mute as MuteConversationAction:
                desk.userWants(.mute(mute.isMuted), of: call, Tap(mute))
            case let pause as PauseConversationAction:
                desk.userWants(.hold(pause.isPaused), of: call, Tap(pause))
            case let tones as PlayToneAction:
                desk.userWants(.dtmf(tones.digits), of: call, Tap(tones))
            case let merge as MergeConversationAction:
                desk.userWants(.group(with: merge.conversationUUIDToMergeWith), of: call, Tap(merge))
            case is UnmergeConversationAction:
                desk.userWants(.group(with: nil), of: call, Tap(action))
            default:
                action.fail()
            }
        }

        private func timedOut(_ action: ConversationAction) {
            let reason = "LiveCommunicationKit's time is up"
            client.note(Failure(domain: "LiveCommunicationKit", doing: "wait for \(type(of: action))", reason: reason))
            if action is JoinConversationAction { desk.answerTimedOut(action.conversationUUID) }
        }

        /// Apple does not say on which queue it calls the delegate.
        nonisolated private func onMain(_ work: @escaping @MainActor (LiveCommunicationBridge) -> Void) {
            if Thread.isMainThread {
                MainActor.assumeIsolated { work(self) }
            } else {
                DispatchQueue.main.async { MainActor.assumeIsolated { work(self) } }
            }
        }
    }

    @available(iOS 17.4, visionOS 1.1, *)
    extension LiveCommunicationBridge: ConversationManagerDelegate {
        nonisolated public func conversationManagerDidBegin(_ manager: ConversationManager) {}

        nonisolated public func conversationManagerDidReset(_ manager: ConversationManager) {
            onMain { $0.desk.reset() }
        }

        nonisolated public func conversationManager(_ manager: ConversationManager, conversationChanged conversation: Conversation) {}

        nonisolated public func conversationManager(_ manager: ConversationManager, perform action: ConversationAction) {
            nonisolated(unsafe) let action = action
            onMain { $0.perform(action) }
        }

        nonisolated public func conversationManager(_ manager: ConversationManager, timedOutPerforming action: ConversationAction) {
            nonisolated(unsafe) let action = action
            onMain { $0.timedOut(action) }
        }

        nonisolated public func conversationManager(_ manager: ConversationManager, didActivate audioSession: AVAudioSession) {
            nonisolated(unsafe) let session = audioSession
            onMain { $0.audioSessionChanged?(session, true) }
        }

        nonisolated public func conversationManager(_ manager: ConversationManager, didDeactivate audioSession: AVAudioSession) {
            nonisolated(unsafe) let session = audioSession
            onMain { $0.audioSessionChanged?(session, false) }
        }
    }

    /// An action that can be fulfilled or failed. Each kind has its own way.
    @available(iOS 17.4, visionOS 1.1, *)
    private final class Tap: CallScreenAction {
        private let action: ConversationAction
        private let done: () -> Void

        init(_ action: ConversationAction, done: (() -> Void)? = nil) {
            self.action = action
            self.done = done ?? { action.fulfill() }
        }

        var deadline: Date? { action.timeoutDate }
        func fulfill() { done() }
        func fail() { action.fail() }
    }

    /// The manager is not Sendable, and takes reports on any thread.
    @available(iOS 17.4, visionOS 1.1, *)
    private struct Report: @unchecked Sendable {
        let manager: ConversationManager
        let call: UUID
        let update: Conversation.Update

        func make() async -> Failure? {
            do {
                try await manager.reportNewIncomingConversation(uuid: call, update: update)
                return nil
            } catch {
                return Failure(domain: "LiveCommunicationKit", doing: "report an incoming call", error)
            }
        }
    }

    @available(iOS 17.4, visionOS 1.1, *)
    private final class ConversationScreen: CallScreen {
        private let manager: ConversationManager
        private let features: CallFeatures
        /// Events of calls that the system has not taken yet.
        private var reporting: [UUID: [Conversation.Event]] = [:]

        init(_ manager: ConversationManager, _ features: CallFeatures) {
            self.manager = manager
            self.features = features
        }

        func show(_ call: ShownCall, done: @escaping @MainActor (ShowOutcome) -> Void) {
            let known = conversation(call.uuid) != nil || reporting[call.uuid] != nil
            if reporting[call.uuid] == nil { reporting[call.uuid] = [] }
            let report = Report(manager: manager, call: call.uuid, update: Conversation.Update(call, features))
            // It is detached, because on the main actor it would begin only after PushKit's delegate has returned.
            Task.detached(priority: .userInitiated) { [weak self] in
                let failure = await report.make()
                await self?.taken(call.uuid)
                await done(known ? .known : failure.map { .refused(.other, $0) } ?? .new)
            }
        }

        func update(_ call: ShownCall) {
            report(.conversationUpdated(Conversation.Update(call, features)), of: call.uuid)
        }

        func end(_ call: UUID, _ reason: EndReason) {
            report(.conversationEnded(Date(), Conversation.EndedReason(reason)), of: call)
        }

        private func report(_ event: Conversation.Event, of call: UUID) {
            guard reporting[call] == nil else {
                reporting[call]?.append(event)
                return
            }
            if let conversation = conversation(call) { manager.reportConversationEvent(event, for: conversation) }
        }

        private func taken(_ call: UUID) {
            for event in reporting.removeValue(forKey: call) ?? [] { report(event, of: call) }
        }

        private func conversation(_ call: UUID) -> Conversation? {
            manager.conversations.first { $0.uuid == call }
        }
    }

    @available(iOS 17.4, visionOS 1.1, *)
    extension Conversation.Update {
        /// The details that the system shows of a call.
        public init(_ call: ShownCall, _ features: CallFeatures = []) {
            var capabilities: Conversation.Capabilities = []
            if call.video { capabilities.insert(.video) }
            if features.contains(.holding) { capabilities.insert(.pausing) }
            if features.contains(.dtmf) { capabilities.insert(.playingTones) }
            if features.contains(.grouping) { capabilities.formUnion([.merging, .unmerging]) }
            let caller = Handle(type: .generic, value: call.caller, displayName: call.label)
            self.init(members: [caller], activeRemoteMembers: [caller], capabilities: capabilities)
        }
    }

    @available(iOS 17.4, visionOS 1.1, *)
    extension Conversation.EndedReason {
        /// The system's name for how a call ended.
        public init(_ reason: EndReason) {
            switch reason {
            case .answeredElsewhere: self = .joinedElsewhere
            case .declined, .declinedElsewhere: self = .declinedElsewhere
            case .missed, .unanswered: self = .unanswered
            case .cancelled, .hungUpByCaller, .hungUp, .loggedOut: self = .remoteEnded
            default: self = .failed
            }
        }
    }
#endif
