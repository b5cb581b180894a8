import Foundation

/// Shows calls to the user: CallKit, LiveCommunicationKit, notifications, or an app's own `CXProvider`.
@MainActor
public protocol CallScreen: AnyObject {
    /// Shows an incoming call, before this returns. `done` is called once with the system's result.
    func show(_ call: ShownCall, done: @escaping @MainActor (ShowOutcome) -> Void)
    /// Shows the caller again, when more is known about them.
    func update(_ call: ShownCall)
    /// Removes a call from the screen.
    func end(_ call: UUID, _ reason: EndReason)
}

/// The system's result for a call that it was asked to show.
public enum ShowOutcome: Hashable, Sendable {
    /// It is shown, and it was not shown before.
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

/// Takes reports of PushKit's pushes. A ``CallDesk`` does, and so does an app's code around its own provider.
@MainActor
public protocol CallReporter: AnyObject {
    /// Carries out what a push asks of the screen. When this returns, the call is reported. `done` is called when the system has
    /// registered it.
    func report(_ action: PushAction, done: @escaping @MainActor () -> Void)
    /// The reasons why the last call was not shown, for a report.
    var obstacles: [Obstacle] { get }
}

extension CallReporter {
    public var obstacles: [Obstacle] { [] }
}

/// A call as the user sees it.
public struct ShownCall: Hashable, Sendable {
    /// The UUID of the call's push, its INVITE and its screen.
    public let uuid: UUID
    /// The caller's number or URI. It may be empty.
    public let caller: String
    /// The name to show, or nil if it is not known.
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

/// Something that the user did on the screen while the system waits: a `CXAction`.
@MainActor
public protocol CallScreenAction: AnyObject {
    /// When the system stops waiting: `CXAction.timeoutDate`. Nil means never.
    var deadline: Date? { get }
    /// It is done.
    func fulfill()
    /// It could not be done.
    func fail()
}

extension CallScreenAction {
    public var deadline: Date? { nil }
}

/// When the user's answer counts as carried out. Then CallKit starts the audio session.
public enum AnswerPolicy: Hashable, Sendable {
    /// When there is a connection to the server and the INVITE is here, so that it can be answered, as Apple advises. Audio is up before
    /// the caller's first word comes.
    case answerable
    /// When the caller's ACK came. Until then CallKit shows "connecting". Audio starts only then.
    case connected
    /// At once, even if the INVITE is not here yet. If it never comes, CallKit has shown a call that did not exist.
    case atOnce
}

/// The features that the system offers the user besides answer, mute and end. The media engine must carry them out.
public struct CallFeatures: OptionSet, Hashable, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let holding = CallFeatures(rawValue: 1)
    public static let dtmf = CallFeatures(rawValue: 2)
    public static let grouping = CallFeatures(rawValue: 4)
}

/// The user's commands for a call besides answering and ending it.
public enum CallCommand: Hashable, Sendable {
    case mute(Bool)
    case hold(Bool)
    /// Send these digits as DTMF.
    case dtmf(String)
    /// Join this call, or leave the group.
    case group(with: UUID?)
}

/// Carries out the user's commands for a call besides answering and ending it: the app's media engine, or its other SIP stack.
@MainActor
public protocol CallControls: AnyObject {
    /// Carries out the user's command for a call. Returns whether it is done.
    func perform(_ command: CallCommand, on call: UUID) async -> Bool
}

/// The app's media engine, as far as a client's calls need one.
@MainActor
public protocol CallMedia: CallControls {
    /// Returns our session description: the answer to the caller's offer or, if there is none, our offer. If it throws, the call ends
    /// with 488.
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

/// Connects a client's calls, the screen that shows them to the user, and the app's media engine. Or it connects a companion's calls and
/// the app's other SIP stack. `CallKitBridge` is a desk with CallKit.
@MainActor
public final class CallDesk: CallReporter {
    /// An action ends at least this long before the system stops waiting for it.
    static let margin: TimeInterval = 1

    private let client: any PushClient
    private let screen: any CallScreen
    private let controls: any CallControls
    /// A client's calls need session descriptions. Another stack has its own.
    private let sessions: (client: SipWakeClient, media: any CallMedia)?
    private let policy: AnswerPolicy
    /// What is on the screen.
    private var shown: [UUID: ShownCall] = [:]
    /// The user's answers, until they are fulfilled or failed.
    private var answering: [UUID: Answering] = [:]
    /// Calls that the user ended or that the system refused to show, and whose end the client has not reported yet. Nothing shows them
    /// again.
    private var ending: Set<UUID> = []
    /// Calls that the system was asked to show and has not answered for. A call that is over meanwhile has the reason: it leaves the
    /// screen once it is there.
    private var showing: [UUID: EndReason?] = [:]
    private var lastRefusal: ShowOutcome.Refusal?
    /// The last change of each call that was followed.
    private var followed: [UUID: CallChange] = [:]

    /// Shows the client's calls until the client ends, beginning with those that are not over.
    public convenience init(
        _ client: SipWakeClient, screen: any CallScreen, media: any CallMedia, answering policy: AnswerPolicy = .answerable
    ) {
        self.init(client, screen: screen, controls: media, sessions: (client, media), answering: policy)
    }

    /// Shows the calls of the companion's stack, which carries out the user's commands for them.
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

    /// The reasons why the last call was not shown. It is empty after a call was shown.
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
            // Shows no name. The user must not see who called if the call is for somebody else or over.
            screen.show(ShownCall(uuid: action.uuid, caller: "", label: nil)) { [screen] outcome in
                // A call that is on the screen already stays. The client says when it ends.
                if outcome == .new { screen.end(action.uuid, .cancelled) }
                done()
            }
        case .showNotification, .nothing:
            done()
        }
    }

    /// The user answers. The action is fulfilled as the policy says. It fails if the call ends first or the system's time runs out.
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

    /// The user gives another command for a call. The media engine carries it out, or the action fails.
    public func userWants(_ command: CallCommand, of call: UUID, _ action: any CallScreenAction) {
        Task { [controls] in
            if await controls.perform(command, on: call) { action.fulfill() } else { action.fail() }
        }
    }

    /// The answer takes longer than the system waits. The call cannot continue.
    public func answerTimedOut(_ call: UUID) {
        guard answering[call] != nil else { return }
        giveUp(call, .failed)
        hangUp(call, .failed(status: 480))
    }

    /// The system removed everything that it showed. Every call ends.
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

    /// The user's answer cannot be carried out. The call leaves the screen first. CallKit ends a call whose answer fails, but it gives
    /// the user no better reason.
    private func giveUp(_ call: UUID, _ reason: EndReason) {
        guard let action = answering.removeValue(forKey: call) else { return }
        if shown.removeValue(forKey: call) != nil {
            ending.insert(call)
            leave(call, reason)
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

    /// Reports a command that failed, unless its call had ended before. Then there is nothing left to do.
    private func tell(_ doing: String, _ error: any Error) {
        switch error {
        case SipWakeError.noSuchCall, SipWakeError.shutDown: break
        default: client.note(Failure(domain: "sipwake", doing: doing, error))
        }
    }

    private func show(_ call: ShownCall, done: @escaping @MainActor () -> Void = {}) {
        guard !ending.contains(call.uuid) else { return done() }
        shown[call.uuid] = call
        showing[call.uuid] = .some(nil)
        screen.show(call) { [weak self] outcome in
            done()
            guard let self else { return }
            let over = showing.removeValue(forKey: call.uuid) ?? nil
            guard case .refused(let refusal, let failure) = outcome else {
                lastRefusal = nil
                if let over { screen.end(call.uuid, over) }
                return
            }
            lastRefusal = refusal
            client.note(failure)
            guard shown.removeValue(forKey: call.uuid) != nil else { return }
            ending.insert(call.uuid)
            // This device is busy. The user's other devices continue ringing.
            Task { [client] in
                do { try await client.decline(call.uuid, .busy) } catch {
                    ending.remove(call.uuid)
                    tell("decline a call that is not shown", error)
                }
            }
        }
    }

    /// Takes a call from the screen, once it is there.
    private func leave(_ uuid: UUID, _ reason: EndReason) {
        if showing[uuid] != nil { showing[uuid] = reason } else { screen.end(uuid, reason) }
    }

    private func follow(_ uuid: UUID, _ change: CallChange) {
        followed[uuid] = change.after(followed[uuid])
        switch change {
        case .announced(let caller), .ringing(let caller, _, _):
            guard let before = shown[uuid] else { return show(ShownCall(uuid: uuid, caller: caller.uri, label: caller.displayName)) }
            // The name may come only with the INVITE.
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
        if shown.removeValue(forKey: uuid) != nil { leave(uuid, reason) }
        sessions?.media.ended(uuid, reason)
    }

    /// Events were lost. Calls that are over leave the screen, and the changes of the other calls are followed. Returns the events from
    /// that moment on.
    private func catchUp() -> AsyncStream<SipWakeEvent> {
        let (calls, events) = client.follow()
        let live = Set(calls.map(\.id))
        let known = Set(shown.keys).union(answering.keys).union(ending).union(followed.keys)
        for call in known where !live.contains(call) { end(call, .other) }
        for call in calls where followed[call.id]?.state != call.change.state { follow(call.id, call.change) }
        return events
    }

    /// A companion makes its stack accept.
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

/// The user's answer, until it is fulfilled or failed, once.
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
