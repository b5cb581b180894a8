import AVFAudio
import Foundation

/// LiveCommunicationKit's side: what it shows, what its user does, and the app's violations. It calls its delegate on its own queue,
/// since Apple promises no certain one.
public final class PlayedConversations: @unchecked Sendable {
    public static let shared = PlayedConversations()

    public struct Refused: Error {}

    public struct Shown: Sendable {
        public var caller: String?
        public var name: String?
        public var reason: Conversation.EndedReason?
    }

    private let queue = DispatchQueue(label: "played.conversations")
    // Guards all fields.
    private let lock = NSRecursiveLock()
    private var broken: [String] = []
    private var all: [UUID: Conversation] = [:]
    private var shown: [UUID: Shown] = [:]
    private var reported: [UUID] = []
    private weak var manager: ConversationManager?
    private var refusing = false
    private var delay: Duration = .zero

    /// Forgets everything, for the next test.
    public func reset() {
        lock.withLock {
            (broken, all, shown, reported, refusing, delay) = ([], [:], [:], [], false, .zero)
            manager?.valid = false
            manager = nil
        }
    }

    public var violations: [String] { lock.withLock { broken } }
    /// The accepted UUIDs in their order, with repetitions.
    public var reports: [UUID] { lock.withLock { reported } }
    public func call(_ uuid: UUID) -> Shown? { lock.withLock { shown[uuid] } }
    public func state(_ uuid: UUID) -> Conversation.State? { lock.withLock { all[uuid]?.state } }
    public func refuse(_ refusing: Bool) { lock.withLock { self.refusing = refusing } }
    /// Makes each report take this long.
    public func takeTime(_ delay: Duration) { lock.withLock { self.delay = delay } }

    // The user's actions.

    public func userJoins(_ uuid: UUID, within seconds: TimeInterval = 30) -> Settled {
        perform(JoinConversationAction(of: uuid, until: Date() + seconds))
    }
    public func userEnds(_ uuid: UUID) -> Settled { perform(EndConversationAction(of: uuid)) }
    public func userMutes(_ uuid: UUID) -> Settled { perform(MuteConversationAction(of: uuid, isMuted: true)) }
    public func userPauses(_ uuid: UUID) -> Settled { perform(PauseConversationAction(of: uuid, isPaused: true)) }
    public func userDials(_ digits: String, in uuid: UUID) -> Settled { perform(PlayToneAction(of: uuid, digits: digits)) }
    public func userMerges(_ uuid: UUID, with other: UUID) -> Settled { perform(MergeConversationAction(of: uuid, with: other)) }

    /// The result of an action.
    public struct Settled: @unchecked Sendable {
        let action: ConversationAction
        public var isComplete: Bool { PlayedConversations.shared.lock.withLock { action.settled } }
    }

    private func perform(_ action: ConversationAction) -> Settled {
        let settled = Settled(action: action)
        queue.async { self.told { $0.delegate?.conversationManager($0, perform: settled.action) } }
        return settled
    }

    public func crash() {
        queue.async { self.told { $0.delegate?.conversationManagerDidReset($0) } }
    }

    private func told(_ work: (ConversationManager) -> Void) {
        if let manager = lock.withLock({ manager }) { work(manager) }
    }

    // The app's calls.

    var live: [Conversation] { lock.withLock { all.values.filter { $0.state != .left } } }

    func made(_ new: ConversationManager) {
        lock.withLock {
            if manager?.valid == true { broken.append("a second manager while the first is in use") }
            manager = new
        }
    }

    func gone(_ old: ConversationManager) { lock.withLock { old.valid = false } }

    func report(_ uuid: UUID, _ update: Conversation.Update, to manager: ConversationManager) async throws {
        try await Task.sleep(for: lock.withLock { delay })
        try lock.withLock {
            if !manager.valid { broken.append("a report to a manager that was invalidated") }
            reported.append(uuid)
            if refusing { throw Refused() }
            if let known = all[uuid], known.state != .left { throw Refused() }
            all[uuid] = Conversation(uuid)
            apply(update, to: uuid)
        }
    }

    func told(_ event: Conversation.Event, of conversation: Conversation, by manager: ConversationManager) {
        lock.withLock {
            guard all[conversation.uuid] === conversation, conversation.state != .left else {
                return broken.append("an event of a conversation that is over")
            }
            switch event {
            case .conversationUpdated(let update): apply(update, to: conversation.uuid)
            case .conversationEnded(_, let reason): leave(conversation, reason)
            default: broken.append("an incoming conversation connects when it is joined")
            }
        }
    }

    func settle(_ action: ConversationAction, done: Bool, dated: Bool) {
        lock.withLock {
            let name = String(describing: type(of: action))
            if action.settled { return broken.append("\(name) was settled twice") }
            action.settled = true
            if action.timeoutDate < Date() { return broken.append("\(name) was settled after its time") }
            guard let conversation = all[action.conversationUUID] else { return broken.append("\(name) of an unknown conversation") }
            switch action {
            case is JoinConversationAction:
                guard done else { return conversation.state == .left ? () : leave(conversation, .failed) }
                if !dated { broken.append("\(name) was fulfilled without a date") }
                guard conversation.state == .idle else { return broken.append("a join fulfilled out of order") }
                conversation.state = .joined
                audio(true)
            case is EndConversationAction:
                if done, !dated { broken.append("\(name) was fulfilled without a date") }
                leave(conversation, nil)
            default:
                if conversation.state != .joined { broken.append("\(name) settled for a conversation that is not joined") }
            }
        }
    }

    private func leave(_ conversation: Conversation, _ reason: Conversation.EndedReason?) {
        if conversation.state == .joined { audio(false) }
        conversation.state = .left
        shown[conversation.uuid]?.reason = reason
    }

    private func apply(_ update: Conversation.Update, to uuid: UUID) {
        let caller = update.members?.first
        shown[uuid] = Shown(caller: caller?.value, name: caller?.displayName)
    }

    private func audio(_ active: Bool) {
        queue.async {
            self.told {
                if active {
                    $0.delegate?.conversationManager($0, didActivate: .sharedInstance())
                } else {
                    $0.delegate?.conversationManager($0, didDeactivate: .sharedInstance())
                }
            }
        }
    }
}
