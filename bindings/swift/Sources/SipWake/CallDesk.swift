import Foundation

/// What shows calls to the user: CallKit, LiveCommunicationKit, notifications, or an app's own `CXProvider`.
@MainActor
public protocol CallScreen: AnyObject {
    /// Shows an incoming call, before this returns. `done` is called once with the system's result.
    func show(_ call: ShownCall, done: @escaping @MainActor (ShowOutcome) -> Void)
    /// Shows who calls, now that it is known better.
    func update(_ call: ShownCall)
    /// Takes a call off the screen.
    func end(_ call: UUID, _ reason: EndReason)
}

/// What the system made of a call that it was to show.
public enum ShowOutcome: Hashable, Sendable {
    /// It is shown; it was not before.
    case new
    /// It was on the screen already, under the same UUID.
    case known
    /// It is not shown.
    case refused(Refusal, Failure)

    /// Why a call is not shown.
    public enum Refusal: Hashable, Sendable {
        /// A Focus, or *Do Not Disturb*.
        case doNotDisturb
        /// The user blocked the caller.
        case blocked
        /// The app lacks the background mode `voip`.
        case unentitled
        case other
    }
}

/// What PushKit's pushes are reported to. A ``CallDesk`` is one, and so is the app's code around its own provider.
@MainActor
public protocol CallReporter: AnyObject {
    /// Does what a push asks of the screen. When this returns, the call is reported. `done` is called when the system has registered it.
    func report(_ action: PushAction, done: @escaping @MainActor () -> Void)
    /// What kept the last call from being shown, for a report.
    var obstacles: [Obstacle] { get }
}

extension CallReporter {
    public var obstacles: [Obstacle] { [] }
}

/// A call as the user sees it.
public struct ShownCall: Hashable, Sendable {
    /// The UUID that its push, its INVITE and the screen have in common.
    public let uuid: UUID
    /// The caller's number or URI; may be empty.
    public let caller: String
    /// The name to show; nil if it is not known.
    public let label: String?
    /// Whether the push says that it is a video call.
    public let video: Bool

    public init(uuid: UUID, caller: String, label: String?, video: Bool = false) {
        self.uuid = uuid
        self.caller = caller
        self.label = label
        self.video = video
    }
}

/// Something that the user did on the screen and that the system waits for: a `CXAction`.
@MainActor
public protocol CallScreenAction: AnyObject {
    /// When the system stops waiting: `CXAction.timeoutDate`. Nil: never.
    var deadline: Date? { get }
    /// It is done.
    func fulfill()
    /// It could not be done.
    func fail()
}

extension CallScreenAction {
    public var deadline: Date? { nil }
}

/// When the user's "answer" counts as carried out. CallKit starts the audio session then.
public enum AnswerPolicy: Hashable, Sendable {
    /// When there is a connection to the server and the INVITE is here, so that it can be answered, as Apple advises. Audio is up by the
    /// time the caller's first word comes.
    case answerable
    /// When the caller's ACK came. CallKit shows "connecting" until then, and audio starts only then.
    case connected
    /// At once, also if the INVITE is not here yet. If it never comes, CallKit has shown a call that was none.
    case atOnce
}

/// What the system offers the user besides answer, mute and end. The media engine must carry it out.
public struct CallFeatures: OptionSet, Hashable, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let holding = CallFeatures(rawValue: 1)
    public static let dtmf = CallFeatures(rawValue: 2)
    public static let grouping = CallFeatures(rawValue: 4)
}

/// What the user wants besides answering and ending a call.
public enum CallCommand: Hashable, Sendable {
    case mute(Bool)
    case hold(Bool)
    /// These digits, to be sent as DTMF.
    case dtmf(String)
    /// Join this call, or leave the group.
    case group(with: UUID?)
}

/// What carries out what the user wants of a call besides answering and ending it: the app's media engine, or its other SIP stack.
@MainActor
public protocol CallControls: AnyObject {
    /// Does what the user wants of a call; returns whether it is done.
    func perform(_ command: CallCommand, on call: UUID) async -> Bool
}

/// The app's media engine, as far as a client's calls need one.
@MainActor
public protocol CallMedia: CallControls {
    /// Returns our session description: the answer to the caller's offer or, if there is none, our offer. If it throws, the call ends with
    /// 488.
    func answer(_ call: UUID, to offer: SessionDescription?) async throws -> SessionDescription
    /// The call is up. `answer` is the caller's, if the offer was ours.
    func connected(_ call: UUID, answer: SessionDescription?)
    /// Returns our answer to a new offer during the call (our offer, if there is none), or nil to refuse and continue as before.
    func renegotiate(_ call: UUID, offer: SessionDescription?) async -> SessionDescription?
    /// The caller answered the offer that `renegotiate` gave.
    func renegotiated(_ call: UUID, answer: SessionDescription)
    /// The call is over.
    func ended(_ call: UUID, _ reason: EndReason)
}

extension CallMedia {
    public func renegotiate(_ call: UUID, offer: SessionDescription?) async -> SessionDescription? { nil }
    public func renegotiated(_ call: UUID, answer: SessionDescription) {}
    public func perform(_ command: CallCommand, on call: UUID) async -> Bool { false }
}

/// Brings together a client's calls, what shows them to the user, and the app's media engine; or those of a companion, and the app's other
/// SIP stack. `CallKitBridge` is this with CallKit.
@MainActor
public final class CallDesk: CallReporter {
    /// An action is settled at least so long before the system stops waiting for it.
    static let margin: TimeInterval = 1

    private let client: any PushClient
    private let screen: any CallScreen
    private let controls: any CallControls
    /// A client's calls want session descriptions; another stack has its own.
    private let sessions: (client: SipWakeClient, media: any CallMedia)?
    private let policy: AnswerPolicy
    /// What is on the screen.
    private var shown: [UUID: ShownCall] = [:]
    /// What the user did to answer, until that is settled.
    private var answering: [UUID: Answering] = [:]
    /// Calls that the user ended and of whose end the client has not told yet: nothing shows them again.
    private var ending: Set<UUID> = []
    private var lastRefusal: ShowOutcome.Refusal?
    /// How far each call has been followed.
    private var followed: [UUID: CallChange] = [:]

    /// Shows the client's calls, those that are not over first, until the client ends.
    public convenience init(
        _ client: SipWakeClient, screen: any CallScreen, media: any CallMedia, answering policy: AnswerPolicy = .answerable
    ) {
        self.init(client, screen: screen, controls: media, sessions: (client, media), answering: policy)
    }

    /// Shows the calls of the companion's stack, which does what the user wants of them.
    public convenience init(
        _ companion: SipWakeCompanion, screen: any CallScreen, controls: any CallControls, answering policy: AnswerPolicy = .answerable
    ) {
        self.init(companion, screen: screen, controls: controls, sessions: nil, answering: policy)
    }

    private init(
        _ client: any PushClient, screen: any CallScreen, controls: any CallControls,
        sessions: (client: SipWakeClient, media: any CallMedia)?, answering policy: AnswerPolicy
    ) {
        self.client = client
        self.screen = screen
        self.controls = controls
        self.sessions = sessions
        self.policy = policy
        let (calls, events) = client.follow()
        for call in calls { follow(call.id, call.change) }
        Task { [weak self] in
            var following: AsyncStream<SipWakeEvent>? = events
            while let events = following {
                following = nil
                for await event in events {
                    if case .call(let call) = event { self?.follow(call.id, call.change) }
                    if case .eventsLost = event {
                        following = self?.catchUp()
                        break
                    }
                }
            }
        }
    }

    /// What kept the last call from being shown; empty once one is shown.
    public var obstacles: [Obstacle] {
        switch lastRefusal {
        case .doNotDisturb: [.doNotDisturb]
        case .blocked: [.callerBlocked]
        case .unentitled: [.notEntitled]
        case .other: [.other]
        case nil: []
        }
    }

    public func report(_ action: PushAction, done: @escaping @MainActor () -> Void) {
        switch action.duty {
        case .reportCall where !ending.contains(action.uuid):
            let video = action.kind == .incomingCall(video: true)
            show(ShownCall(uuid: action.uuid, caller: action.caller ?? "", label: action.callerLabel, video: video), done: done)
        case .reportCall, .reportThenEnd:
            // Nobody's name: the user is not to see who a call was from that is none of theirs, or over.
            screen.show(ShownCall(uuid: action.uuid, caller: "", label: nil)) { [screen] outcome in
                // A call that is on the screen stays: the client says when it ends.
                if outcome == .new { screen.end(action.uuid, .cancelled) }
                done()
            }
        case .showNotification, .nothing:
            done()
        }
    }

    /// The user answers. The action is settled as the policy says, and fails if the call ends first or the system's patience does.
    public func userAnswers(_ call: UUID, _ action: any CallScreenAction) {
        answering.removeValue(forKey: call)?.fail()
        answering[call] = Answering(action, until: action.deadline.map { $0 - Self.margin }) { [weak self] in
            self?.answerTimedOut(call)
        }
        if policy == .atOnce { settle(call) }
        Task { [client] in
            do { try await client.answer(call) } catch {
                giveUp(call, .failed)
                ending.remove(call)
                tell("answer a call", error)
            }
        }
    }

    /// The user declines or hangs up.
    public func userEnds(_ call: UUID, _ action: any CallScreenAction) {
        if shown.removeValue(forKey: call) != nil { ending.insert(call) }
        giveUp(call, .hungUp)
        action.fulfill()
        hangUp(call)
    }

    /// The user wants something else of a call: the media engine does it or the action fails.
    public func userWants(_ command: CallCommand, of call: UUID, _ action: any CallScreenAction) {
        Task { [controls] in
            if await controls.perform(command, on: call) { action.fulfill() } else { action.fail() }
        }
    }

    /// The answer takes longer than the system waits: the call cannot continue.
    public func answerTimedOut(_ call: UUID) {
        guard answering[call] != nil else { return }
        giveUp(call, .failed)
        hangUp(call, .failed(status: 480))
    }

    /// The system dropped all that it showed: every call ends.
    public func reset() {
        let calls = Set(shown.keys).union(answering.keys)
        ending.formUnion(shown.keys)
        shown = [:]
        for call in calls {
            answering.removeValue(forKey: call)?.cancel()
            hangUp(call)
        }
    }

    private func settle(_ call: UUID) {
        answering.removeValue(forKey: call)?.fulfill()
    }

    /// The user's answer cannot be carried out. The call leaves the screen first: CallKit ends one whose answer fails, and tells its user
    /// no better reason.
    private func giveUp(_ call: UUID, _ reason: EndReason) {
        guard let action = answering.removeValue(forKey: call) else { return }
        if shown.removeValue(forKey: call) != nil {
            ending.insert(call)
            screen.end(call, reason)
        }
        action.fail()
    }

    private func hangUp(_ call: UUID, _ why: HangUp = .normal) {
        Task { [client] in
            do { try await client.hangUp(call, why) } catch {
                ending.remove(call)
                tell("hang up", error)
            }
        }
    }

    /// Tells of a command that failed, unless its call had ended before: then there is nothing left to do.
    private func tell(_ doing: String, _ error: any Error) {
        switch error {
        case SipWakeError.noSuchCall, SipWakeError.shutDown: break
        default: client.note(Failure(domain: "sipwake", doing: doing, error))
        }
    }

    private func show(_ call: ShownCall, done: @escaping @MainActor () -> Void = {}) {
        guard !ending.contains(call.uuid) else { return done() }
        shown[call.uuid] = call
        screen.show(call) { [weak self] outcome in
            done()
            guard let self else { return }
            guard case .refused(let refusal, let failure) = outcome else { return lastRefusal = nil }
            lastRefusal = refusal
            shown[call.uuid] = nil
            client.note(failure)
            // This device is busy; the user's others continue ringing.
            Task { [client] in
                do { try await client.decline(call.uuid, .busy) } catch { tell("decline a call that is not shown", error) }
            }
        }
    }

    private func follow(_ uuid: UUID, _ change: CallChange) {
        followed[uuid] = change.after(followed[uuid])
        switch change {
        case .announced(let caller), .ringing(let caller, _, _):
            guard let before = shown[uuid] else { return show(ShownCall(uuid: uuid, caller: caller.uri, label: caller.displayName)) }
            // The name may come with the INVITE only.
            guard let name = caller.displayName, name != before.label else { return }
            let call = ShownCall(uuid: uuid, caller: caller.uri, label: name, video: before.video)
            shown[uuid] = call
            screen.update(call)
        case .callerChanged(let caller):
            guard let before = shown[uuid] else { return }
            let call = ShownCall(uuid: uuid, caller: caller.uri, label: caller.displayName, video: before.video)
            shown[uuid] = call
            screen.update(call)
        case .answerWanted(_, let offer):
            if policy == .answerable { settle(uuid) }
            accept(uuid, offer)
        case .connected(let answer):
            settle(uuid)
            sessions?.media.connected(uuid, answer: answer)
        case .offered(let offer):
            guard let (client, media) = sessions else { return }
            Task {
                let ours = await media.renegotiate(uuid, offer: offer)
                do { try await client.respond(toOfferOf: uuid, with: ours) } catch { tell("respond to an offer", error) }
            }
        case .ended(let reason, _):
            end(uuid, reason)
        case .answered(let answer):
            sessions?.media.renegotiated(uuid, answer: answer)
        case .asked, .hangUpReason, .other:
            break
        }
    }

    private func end(_ uuid: UUID, _ reason: EndReason) {
        giveUp(uuid, reason)
        ending.remove(uuid)
        followed[uuid] = nil
        if shown.removeValue(forKey: uuid) != nil { screen.end(uuid, reason) }
        sessions?.media.ended(uuid, reason)
    }

    /// Events were lost: what is over leaves the screen, and what became of the other calls meanwhile is followed. Returns the events
    /// from that moment on.
    private func catchUp() -> AsyncStream<SipWakeEvent> {
        let (calls, events) = client.follow()
        let live = Set(calls.map(\.id))
        let known = Set(shown.keys).union(answering.keys).union(ending).union(followed.keys)
        for call in known where !live.contains(call) { end(call, .other) }
        for call in calls where followed[call.id]?.state != call.change.state { follow(call.id, call.change) }
        return events
    }

    /// A companion has its stack accept.
    private func accept(_ uuid: UUID, _ offer: SessionDescription?) {
        guard let (client, media) = sessions else { return }
        Task {
            do {
                try await client.accept(uuid, with: try await media.answer(uuid, to: offer))
            } catch {
                giveUp(uuid, .failed)
                tell("accept a call", error)
                hangUp(uuid, .failed(status: 488))
            }
        }
    }
}

/// The user's "answer", until it is fulfilled or failed, once.
@MainActor
private final class Answering {
    private let action: any CallScreenAction
    private let deadline: Date?
    private var clock: Task<Void, Never>?

    init(_ action: any CallScreenAction, until deadline: Date?, late: @escaping @MainActor () -> Void) {
        self.action = action
        self.deadline = deadline
        guard let deadline else { return }
        clock = Task {
            try? await Task.sleep(for: .seconds(max(0, deadline.timeIntervalSinceNow)))
            if !Task.isCancelled { late() }
        }
    }

    func fulfill() {
        cancel()
        // The clock is a task and may be late itself.
        if let deadline, deadline < Date() { action.fail() } else { action.fulfill() }
    }

    func fail() {
        cancel()
        action.fail()
    }

    func cancel() {
        clock?.cancel()
    }
}
