import Foundation
import SipWakeFFI

/// A session description, as opaque text: an offer or an answer.
public struct SessionDescription: Hashable, Sendable, Redacted {
    /// For example `application/sdp`.
    public var contentType: String
    public var body: Data

    public init(contentType: String, body: Data) {
        self.contentType = contentType
        self.body = body
    }

    /// A description of the type `application/sdp`.
    public init(sdp: String) {
        self.init(contentType: "application/sdp", body: Data(sdp.utf8))
    }

    /// The body as text.
    public var text: String { String(decoding: body, as: UTF8.self) }

    public var description: String { "SessionDescription(\(contentType), \(body.count) bytes)" }
}

/// The caller.
public struct Caller: Hashable, Sendable {
    /// The caller's URI or number. It may be empty.
    public var uri: String
    /// The name to show.
    public var displayName: String?

    public init(uri: String, displayName: String? = nil) {
        self.uri = uri
        self.displayName = displayName
    }
}

/// What happened to a call.
public enum CallChange: Hashable, Sendable {
    /// A push announced it. The INVITE is on its way.
    case announced(caller: Caller)
    /// The INVITE is here, so the phone can ring. `announced` says whether a push had announced this call.
    case ringing(caller: Caller, announced: Bool, offer: SessionDescription?)
    /// The user answered, and the INVITE is here. Accept the call without asking the user again. Without an offer the caller wants ours.
    case answerWanted(caller: Caller, offer: SessionDescription?)
    /// A later push or request names the caller better than before.
    case callerChanged(caller: Caller)
    /// The ACK came and the call is up. `answer` is the caller's, if the offer was ours.
    case connected(answer: SessionDescription?)
    /// The caller offers other media. Respond within 20 seconds. Without an offer the caller wants ours.
    case offered(offer: SessionDescription?)
    /// The caller answered the offer that the app gave to an `offered` without one.
    case answered(answer: SessionDescription)
    /// The caller asks for something that only the app can do.
    case asked(CallRequest)
    /// The caller hangs up and says why, in the words of the BYE's `Reason` (RFC 3326). `ended` follows.
    case hangUpReason(String)
    /// It is over. The status says why, for `failed` only.
    case ended(reason: EndReason, status: UInt16?)
    /// Something that this version has no name for.
    case other(description: String)
}

/// A caller's request to the app inside a call, by INFO (RFC 6086) or REFER (RFC 3515).
public struct CallRequest: Hashable, Sendable {
    /// Its id, for ``SipWakeClient/respond(toRequest:of:with:)``.
    public let id: UInt64
    /// Whether it waits ten seconds for the app's response, as ``SipWakeClient/takeCallRequests(_:)`` says. Otherwise it was refused.
    public let awaitsResponse: Bool
    public let kind: RequestKind
}

/// The kinds of a caller's requests to the app. The description does not show digits, because they may be a PIN.
public enum RequestKind: Hashable, Sendable, Redacted {
    /// The caller dialled a digit: `0` to `9`, `A` to `D`, `*`, `#` or `!` (flash), with its duration if the caller gives it.
    case digit(String, duration: Duration?)
    /// Any other INFO: the type of its body, its `Info-Package`, and its body.
    case info(contentType: String, package: String?, body: Data)
    /// The caller asks the app to call somebody else and leave this call: the URI in `Refer-To`, and the person who asks for it.
    case refer(to: String, by: String?)
    /// Something that this version has no name for.
    case other(description: String)

    public var description: String {
        switch self {
        case .digit: "digit"
        case .info(let contentType, _, let body): "info(\(contentType), \(body.count) bytes)"
        case .refer(let to, _): "refer(\(to))"
        case .other(let description): "other(\(description))"
        }
    }
}

extension CallChange {
    /// The state after this change. A better known caller is not a separate state.
    func after(_ before: CallChange?) -> CallChange {
        guard let before else { return self }
        switch self {
        case .callerChanged(let caller): return before.with(caller)
        case .asked, .hangUpReason: return before
        default: return self
        }
    }

    /// The change without its caller.
    var state: CallChange { with(Caller(uri: "")) }

    private func with(_ caller: Caller) -> CallChange {
        switch self {
        case .announced: .announced(caller: caller)
        case .ringing(_, let announced, let offer): .ringing(caller: caller, announced: announced, offer: offer)
        case .answerWanted(_, let offer): .answerWanted(caller: caller, offer: offer)
        case .callerChanged: .callerChanged(caller: caller)
        case .connected, .offered, .answered, .asked, .hangUpReason, .ended, .other: self
        }
    }
}

/// How a call ended.
public struct EndReason: OpenName {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The caller gave up.
    public static let cancelled = Self(rawValue: "cancelled")
    /// Another device of the user answered (RFC 3326).
    public static let answeredElsewhere = Self(rawValue: "answeredElsewhere")
    /// Another device of the user declined for all of them (RFC 3326).
    public static let declinedElsewhere = Self(rawValue: "declinedElsewhere")
    /// We declined.
    public static let declined = Self(rawValue: "declined")
    /// The caller hung up.
    public static let hungUpByCaller = Self(rawValue: "hungUpByCaller")
    /// We hung up.
    public static let hungUp = Self(rawValue: "hungUp")
    /// It failed. The status says why: 408 without an ACK or a refresh of the session, 481 if the caller no longer knows the call, 504
    /// without a PRACK, or the status that the app gave.
    public static let failed = Self(rawValue: "failed")
    /// The announced INVITE never came.
    public static let missed = Self(rawValue: "missed")
    /// It rang until its time limit.
    public static let unanswered = Self(rawValue: "unanswered")
    /// The user logged out.
    public static let loggedOut = Self(rawValue: "loggedOut")
    /// Anything else.
    public static let other = Self(rawValue: "other")
}

/// When a call reached each of its stages, by the device's clock.
public struct CallTimes: Hashable, Sendable {
    /// A push announced it.
    public let announced: Date?
    /// Its INVITE came.
    public let ringing: Date?
    /// The user answered, and the 200 was sent.
    public let answered: Date?
    /// The caller's ACK came, and both sides can talk.
    public let connected: Date?
    /// It ended.
    public let ended: Date?
    /// How long both sides could talk, by a clock that nobody can set. Nil before the call is over, or if they never could talk.
    public let talked: Duration?
}

/// A call, and what just happened to it.
public struct CallUpdate: Hashable, Sendable, Identifiable {
    /// The call's UUID. It is the same for its push, its INVITE and CallKit.
    public let id: UUID
    /// The account, when it is known.
    public let account: AccountID?
    public let change: CallChange
    /// When it reached each stage so far.
    public let times: CallTimes
}

/// How a ringing call is declined.
public enum DeclineHow: Hashable, Sendable {
    /// 603: on all of the user's devices.
    case everywhere
    /// 486: this device is busy, and others still ring.
    case busy
}

/// Why the app ends a call.
public enum HangUp: Hashable, Sendable {
    /// The user asked for it.
    case normal
    /// It cannot continue, for example with 488 for an offer that the media engine refuses. The status is from 400 to 699. Any other
    /// number becomes 500.
    case failed(status: UInt16)
}

/// The app's settings for calls.
public struct CallPolicy: Hashable, Sendable {
    /// How long to wait for an announced INVITE. The payload can name a shorter time.
    public var window: Duration
    /// How long the phone rings at most. The INVITE's `Expires` can name a shorter time.
    public var ringLimit: Duration
    /// Whether a registrar that gave a `pn-purr` can wake the app for requests inside the call (RFC 8599 section 6).
    public var midCallWakeups: Bool
    /// Whether a caller gets 183 first, and 180 when the app says that it rings (``SipWakeClient/ringing(_:)``).
    public var sessionProgress: Bool
    /// Whether to ask the user again if they answered a call before its INVITE came and the INVITE names a caller with another number.
    public var reconfirm: Bool

    public init(
        window: Duration = .seconds(40), ringLimit: Duration = .seconds(180), midCallWakeups: Bool = false,
        sessionProgress: Bool = false, reconfirm: Bool = false
    ) {
        self.window = window
        self.ringLimit = ringLimit
        self.midCallWakeups = midCallWakeups
        self.sessionProgress = sessionProgress
        self.reconfirm = reconfirm
    }

    var foreign: SipWakeFFI.CallPolicy {
        SipWakeFFI.CallPolicy(
            windowMs: window.milliseconds, ringLimitMs: ringLimit.milliseconds, midCallWakeups: midCallWakeups,
            sessionProgress: sessionProgress, reconfirm: reconfirm)
    }
}

extension SessionDescription {
    init(_ session: SessionOffer) {
        self.init(contentType: session.contentType, body: session.body)
    }

    var foreign: SessionOffer { SessionOffer(contentType: contentType, body: body) }
}

extension Caller {
    fileprivate init(_ caller: SipWakeFFI.Caller) {
        self.init(uri: caller.uri, displayName: caller.displayName)
    }
}

extension CallChange {
    init(_ change: SipWakeFFI.CallChange) {
        switch change {
        case .announced(let caller): self = .announced(caller: Caller(caller))
        case .ringing(let caller, let announced, let offer):
            self = .ringing(caller: Caller(caller), announced: announced, offer: offer.map(SessionDescription.init))
        case .answerWanted(let caller, let offer):
            self = .answerWanted(caller: Caller(caller), offer: offer.map(SessionDescription.init))
        case .callerChanged(let caller): self = .callerChanged(caller: Caller(caller))
        case .connected(let answer): self = .connected(answer: answer.map(SessionDescription.init))
        case .offered(let offer): self = .offered(offer: offer.map(SessionDescription.init))
        case .answered(let answer): self = .answered(answer: SessionDescription(answer))
        case .asked(let request): self = .asked(CallRequest(request))
        case .reason(let reason): self = .hangUpReason(reason)
        case .ended(let reason, let status): self = .ended(reason: EndReason(reason), status: status)
        case .other(let description): self = .other(description: description)
        }
    }
}

extension CallRequest {
    fileprivate init(_ request: SipWakeFFI.CallRequest) {
        let kind: RequestKind =
            switch request.kind {
            case .digit(let digit, let durationMs):
                .digit(digit, duration: durationMs.map(Duration.init(milliseconds:)))
            case .info(let contentType, let package, let body): .info(contentType: contentType, package: package, body: body)
            case .refer(let to, let by): .refer(to: to, by: by)
            case .other(let description): .other(description: description)
            }
        self.init(id: request.id, awaitsResponse: request.awaitsResponse, kind: kind)
    }
}

extension EndReason {
    var foreign: SipWakeFFI.EndReason {
        switch self {
        case .cancelled: .cancelled
        case .answeredElsewhere: .answeredElsewhere
        case .declinedElsewhere: .declinedElsewhere
        case .declined: .declined
        case .hungUpByCaller: .hungUpByCaller
        case .hungUp: .hungUp
        case .failed: .failed
        case .missed: .missed
        case .unanswered: .unanswered
        case .loggedOut: .loggedOut
        default: .other
        }
    }

    init(_ reason: SipWakeFFI.EndReason) {
        switch reason {
        case .cancelled: self = .cancelled
        case .answeredElsewhere: self = .answeredElsewhere
        case .declinedElsewhere: self = .declinedElsewhere
        case .declined: self = .declined
        case .hungUpByCaller: self = .hungUpByCaller
        case .hungUp: self = .hungUp
        case .failed: self = .failed
        case .missed: self = .missed
        case .unanswered: self = .unanswered
        case .loggedOut: self = .loggedOut
        case .other: self = .other
        }
    }
}

extension CallTimes {
    init(_ times: SipWakeFFI.CallTimes) {
        func date(_ moment: Moment?) -> Date? { moment.map { Date(millisecondsSince1970: $0.wallMs) } }
        announced = date(times.announced)
        ringing = date(times.ringing)
        answered = date(times.answered)
        connected = date(times.connected)
        ended = date(times.ended)
        talked = times.connected.flatMap { from in
            times.ended.map { Duration(milliseconds: $0.bootMs - min(from.bootMs, $0.bootMs)) }
        }
    }
}

extension Date {
    init(millisecondsSince1970 milliseconds: UInt64) {
        self.init(timeIntervalSince1970: TimeInterval(milliseconds) / 1000)
    }
}

extension DeclineHow {
    var foreign: SipWakeFFI.DeclineHow {
        switch self {
        case .everywhere: .everywhere
        case .busy: .busy
        }
    }
}

extension HangUp {
    var foreign: SipWakeFFI.HangUp {
        switch self {
        case .normal: .normal
        case .failed(let status): .failed(status: status)
        }
    }
}
