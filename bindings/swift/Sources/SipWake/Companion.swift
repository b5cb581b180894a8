import Foundation
import SipWakeFFI

/// The app's SIP stack, as far as a ``SipWakeCompanion`` asks it for something. Called on a thread made for it, one after the other: do what
/// takes long elsewhere. What it throws becomes ``SipWakeEvent/failed(_:)``.
public protocol CompanionStack: AnyObject, Sendable {
    /// Registers this account now, with what ``SipWakeCompanion/registerTags(_:)`` says, also where it thinks that it is registered.
    func register(_ account: AccountID, for companion: SipWakeCompanion) throws
    /// Accepts the INVITE of this call, which the user has answered, and says ``SipWakeCompanion/answered(_:)``.
    func accept(_ call: UUID, for companion: SipWakeCompanion) throws
    /// Answers each INVITE of this call that it holds with this status: the user does not want it, or its caller gave up.
    func refuse(_ call: UUID, with status: UInt16, for companion: SipWakeCompanion) throws
    /// Ends this call, which was answered, and says ``SipWakeCompanion/ended(_:_:status:)``.
    func hangUp(_ call: UUID, for companion: SipWakeCompanion) throws
}

/// What the next REGISTER of another stack must say. All that is not in here is that stack's own. Holds tokens: its description does not
/// show them.
public struct CompanionRegister: Hashable, Sendable, Redacted {
    /// By which ``SipWakeCompanion/heard(_:from:)`` and ``SipWakeCompanion/sent(_:callID:cseq:for:)`` name it.
    public let number: UInt64
    public let account: AccountID
    /// What is added; what an earlier REGISTER carried and this one does not, must not be in it.
    public let tags: RegisterTags
    /// The whole Contact URI, where it is known: in a removal it is the one that was bound.
    public let contact: String?
    /// Contact URIs that go beside it, each with `;expires=0`: this device's, from before.
    public let removed: [String]
    /// The value of `Expires`, in seconds: 0 removes.
    public let expires: UInt32
    /// The Request-URI.
    public let requestURI: String
    /// The `uri` of the digest answer, where it is not the Request-URI (`X-Sy.AuthURI`).
    public let digestURI: String?
    /// Where it goes: a SIP URI or a WebSocket address.
    public let gateway: String

    /// Whether it takes the registration away.
    public var removes: Bool { expires == 0 }

    public var description: String {
        "CompanionRegister(\(number), \(account), \(tags), removed: \(removed.count), expires: \(expires), requestURI: \(requestURI), "
            + "gateway: \(gateway))"
    }

    init(_ register: SipWakeFFI.CompanionRegister) {
        number = register.number
        account = AccountID(rawValue: register.account)
        tags = RegisterTags(register.tags)
        contact = register.contact
        removed = register.removed
        expires = register.expiresSeconds
        requestURI = register.requestUri
        digestURI = register.digestUri
        gateway = register.gateway
    }
}

/// A response to a REGISTER, as the other stack shows it. Give what it shows: with `register`, or with Call-ID and CSeq, answers out of
/// order are told apart. Its description shows no header, since a Contact holds a token.
public struct RegisterResponse: Hashable, Sendable, Redacted {
    /// The status; 408 where no response came.
    public var status: UInt16
    /// The header fields as they were printed: in any case, folded or not, lists in one line or in several.
    public var headers: [NamedValue]
    /// The reason phrase; empty where the stack hides it.
    public var phrase: String
    /// The ``CompanionRegister/number`` of what it answers, where the app knows.
    public var register: UInt64?
    /// The Call-ID of the REGISTER, where it is not among the headers.
    public var callID: String?
    /// The number of its CSeq, likewise.
    public var cseq: UInt32?

    public init(
        status: UInt16, headers: [NamedValue] = [], phrase: String = "", register: UInt64? = nil, callID: String? = nil, cseq: UInt32? = nil
    ) {
        self.status = status
        self.headers = headers
        self.phrase = phrase
        self.register = register
        self.callID = callID
        self.cseq = cseq
    }

    public var description: String { "RegisterResponse(\(status), \(headers.count) headers)" }

    var foreign: SipWakeFFI.RegisterResponse {
        SipWakeFFI.RegisterResponse(
            status: status, phrase: phrase, headers: headers.map(\.foreign), register: register, callId: callID, cseq: cseq)
    }
}

/// What follows from a response to a REGISTER. Later versions may add cases: have a `default` where you switch.
public enum CompanionNext: Equatable, Sendable {
    /// Nothing, until the companion asks its stack to register.
    case nothing
    /// Take the tags and register at once: without what the server refused, for longer, to where it redirects, or what remains.
    case again
    /// Answer the challenge; where `changed`, with the tags taken again. `digestURI` is the `uri` of the digest answer, where it is not the
    /// Request-URI.
    case authenticate(changed: Bool, digestURI: String?)
    /// It failed; the companion asks its stack to register when it is to be tried again.
    case wait(RegistrationFailure)
    /// The log-out is over.
    case loggedOut(Removed)
    /// It answers an earlier REGISTER, and says nothing about the one that is waited for.
    case old
    /// Something that this version has no name for.
    case other(description: String)
}

/// What a response to a REGISTER means.
public struct CompanionAnswer: Equatable, Sendable {
    /// What to do.
    public let next: CompanionNext
    /// What a 2xx says about push.
    public let verdict: Verdict?
    /// How long the binding lives.
    public let expires: Duration?
    /// When the companion asks for the next REGISTER.
    public let refreshIn: Duration?

    init(_ answer: SipWakeFFI.CompanionAnswer) {
        next = CompanionNext(answer.next)
        verdict = answer.verdict.map(Verdict.init)
        expires = answer.expiresMs.map(Duration.init(milliseconds:))
        refreshIn = answer.refreshInMs.map(Duration.init(milliseconds:))
    }
}

/// What the other stack does with an INVITE.
public enum CompanionInvite: Hashable, Sendable {
    /// It rings under this name, which its push has if one came. `again`: another INVITE of this call rings already, there is no second
    /// screen, and one of them is answered.
    case ring(UUID, again: Bool)
    /// The user answered before it came: accept it, without a further question, and say ``SipWakeCompanion/answered(_:)``.
    case accept(UUID)
    /// It does not ring: answer it with this status. The call is over or answered already; nil where nobody is called here.
    case refuse(UUID?, status: UInt16)
}

/// A log-out that no answer has proven or accepted: the other stack still has to send what ``SipWakeCompanion/registerTags(_:)`` says.
public struct PendingLogOut: Hashable, Sendable {
    /// By which the companion knows it.
    public let account: AccountID
    /// The address of record.
    public let aor: String
    /// The user name of the digest answer.
    public let authUser: String
    /// The password or, in a later process, HA1 for each realm that has asked: enough for stacks that take HA1.
    public let credentials: Credentials

    init(_ pending: SipWakeFFI.PendingLogOut) {
        account = AccountID(rawValue: pending.account)
        aor = pending.aor
        authUser = pending.authUser
        credentials = Credentials(pending.credentials)
    }
}

extension CompanionNext {
    fileprivate init(_ next: SipWakeFFI.CompanionNext) {
        switch next {
        case .nothing: self = .nothing
        case .again: self = .again
        case .authenticate(let changed, let digestUri): self = .authenticate(changed: changed, digestURI: digestUri)
        case .wait(let kind, let status, let reason, let retryInMs):
            let retryIn = retryInMs.map(Duration.init(milliseconds:))
            self = .wait(RegistrationFailure(kind: FailureKind(kind), status: status, reason: reason, retryIn: retryIn))
        case .loggedOut(let removed): self = .loggedOut(Removed(removed))
        case .old: self = .old
        case .other(let description): self = .other(description: description)
        }
    }
}

extension CompanionInvite {
    init(_ invite: SipWakeFFI.CompanionInvite) {
        switch invite {
        case .ring(let call, let again): self = .ring(known(call), again: again)
        case .accept(let call): self = .accept(known(call))
        case .refuse(let call, let status): self = .refuse(call.map(known), status: status)
        }
    }
}

/// A UUID that Rust has written.
func known(_ call: String) -> UUID {
    UUID(uuidString: call) ?? UUID()
}
