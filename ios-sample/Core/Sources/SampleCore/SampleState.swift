import Foundation
import SipWake

/// All that is on the screens, made of nothing but the events before.
public struct SampleState: Equatable, Sendable {
    public enum Binding: Equatable, Sendable {
        case none
        case registering
        case registered(Registration)
        case failed(reason: String, retryIn: Duration?)
        /// The user logged out; the server has not confirmed it yet.
        case leaving
        /// The log-out is over.
        case left(LogOut)
    }

    /// Who is logged in; nil: the settings are asked for.
    public internal(set) var settings: AccountSettings?
    public internal(set) var account: AccountID?
    public internal(set) var binding = Binding.none
    /// Until when the user does not want to be disturbed; nil: they may be.
    public internal(set) var quietUntil: Date?
    /// Calls that are not over, oldest first.
    public internal(set) var calls: [CallState] = []
    public internal(set) var lastCall: CallReport?
    public internal(set) var lastChat: ChatMessage?
    /// Whether CallKit has given the audio session: that is when a media engine may start.
    public internal(set) var audio = false
    /// Why the store cannot be read: the phone was not unlocked since its start.
    public internal(set) var storeProblem: String?
    /// Further things that went wrong, latest last.
    public internal(set) var notices: [String] = []

    public init() {}

    /// The call for the call screen: the one that is up, else the first that came.
    public var call: CallState? {
        calls.first { if case .connected = $0.phase { true } else { false } } ?? calls.first
    }
}

extension SampleState {
    static let maxNotices = 20

    mutating func apply(_ event: SipWakeEvent) {
        switch event {
        case .registered(let account, let registration):
            if account == self.account { binding = .registered(registration) }
        case .registrationFailed(let account, let failure):
            if account == self.account { binding = .failed(reason: failure.reason, retryIn: failure.retryIn) }
        case .doNotDisturbOver(let account):
            if account == self.account { quietUntil = nil }
        case .loggedOut(_, let out):
            if account == nil { binding = .left(out) }
        case .call(let call):
            apply(call.change, to: call.id, connected: call.times.connected, talked: call.times.talked)
        case .chatMessage(_, let message):
            lastChat = message
        case .storeFailed(let key, let reason):
            notice("The store failed for \(key): \(reason)")
        case .failed(let failure):
            notice("\(failure.domain) could not \(failure.doing): \(failure.reason) (\(failure.code))")
        case .eventsLost(let count):
            notice("\(count) events were lost")
        case .other(let description):
            notice(description)
        default:
            break
        }
    }

    mutating func apply(_ change: CallChange, to uuid: UUID, connected: Date?, talked: Duration?) {
        let known = calls.firstIndex { $0.id == uuid }
        switch change {
        case .announced(let caller):
            if known == nil { calls.append(CallState(id: uuid, caller: caller.label, phase: .announced)) }
        case .ringing(let caller, _, _):
            guard let known else {
                calls.append(CallState(id: uuid, caller: caller.label, phase: .ringing))
                return
            }
            calls[known].caller = caller.label
            // Answered already, if the user was quicker than the INVITE.
            if calls[known].phase == .announced { calls[known].phase = .ringing }
        case .callerChanged(let caller):
            if let known { calls[known].caller = caller.label }
        case .answerWanted:
            answering(uuid)
        case .connected:
            if let known { calls[known].phase = .connected(since: connected ?? Date()) }
        case .ended(let reason, let status):
            guard let known else { return }
            let call = calls.remove(at: known)
            lastCall = CallReport(caller: call.caller, reason: reason, status: status, talked: talked)
        case .offered, .answered, .asked, .hangUpReason, .other:
            break
        }
    }

    /// The user answered.
    mutating func answering(_ uuid: UUID) {
        guard let known = calls.firstIndex(where: { $0.id == uuid }), calls[known].answerable else { return }
        calls[known].phase = .answering
    }

    /// The answer was not carried out: the user may try again.
    mutating func refused(_ uuid: UUID) {
        guard let known = calls.firstIndex(where: { $0.id == uuid && $0.phase == .answering }) else { return }
        calls[known].phase = .ringing
    }

    mutating func notice(_ text: String) {
        notices.append(text)
        if notices.count > Self.maxNotices { notices.removeFirst(notices.count - Self.maxNotices) }
    }
}

// What the status screen says.
extension SampleState {
    public var headline: String {
        if storeProblem != nil { return "Locked since the phone started" }
        switch binding {
        case .none: return "Not registered"
        case .registering: return "Registering…"
        case .registered: return "Registered"
        case .failed: return "Not registered"
        case .leaving: return "Logging out…"
        case .left: return "Logged out"
        }
    }

    public var details: String {
        if let storeProblem { return storeProblem }
        switch binding {
        case .none, .registering: return ""
        case .registered(let registration): return "for \(registration.expires.components.seconds) s"
        case .failed(let reason, let retryIn):
            return retryIn.map { "\(reason); tried again in \(Int($0.timeInterval.rounded(.up))) s" } ?? reason
        case .leaving: return "The server is told, again and again if need be, also after a restart"
        case .left(let out):
            switch out.removed {
            case .proven: return "The server has forgotten \(out.aor)"
            case .neverBound: return "No server ever knew \(out.aor)"
            case .givenUp: return "No server could be told that \(out.aor) logged out"
            default: return "The server has accepted that \(out.aor) logged out"
            }
        }
    }

    /// Whether the phone will be woken; nil while that is not known.
    public var verdict: Verdict? {
        if case .registered(let registration) = binding { registration.verdict } else { nil }
    }

    public var verdictWords: String {
        switch verdict?.standing {
        case .confirmed: "The server will push"
        case .unconfirmed: "The server may push; place a test call"
        case .refused: "The server will not push"
        case .notAsked: "Push was not requested: there is no token yet"
        case nil: "Not known yet"
        }
    }
}
