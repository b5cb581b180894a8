import Foundation
import SipWakeFFI

/// The app's SIP stack, with the functions that a ``SipWakeCompanion`` calls. They are called on a thread of their own, one after the
/// other. Do long work elsewhere. If one throws, there is a ``SipWakeEvent/failed(_:)``.
public protocol CompanionStack: AnyObject, Sendable {
    /// Registers this account now, with the tags from ``SipWakeCompanion/registerTags(_:)``, even if the stack believes that it is
    /// registered.
    func register(_ account: AccountID, for companion: SipWakeCompanion) throws
    /// Accepts the INVITE of this call, which the user has answered, and calls ``SipWakeCompanion/answered(_:)``.
    func accept(_ call: UUID, for companion: SipWakeCompanion) throws
    /// Responds with this status to each INVITE of this call that the stack holds, because the user refused it or the caller gave up.
    func refuse(_ call: UUID, with status: UInt16, for companion: SipWakeCompanion) throws
    /// Ends this call, which was answered, and calls ``SipWakeCompanion/ended(_:_:status:)``.
    func hangUp(_ call: UUID, for companion: SipWakeCompanion) throws
}

/// The parts of another stack's next REGISTER that matter for push. Everything else is up to that stack. It holds tokens, and its
/// description does not show them.
public struct CompanionRegister: Hashable, Sendable, Redacted {
    /// Its number, for ``SipWakeCompanion/heard(_:from:)`` and ``SipWakeCompanion/sent(_:callID:cseq:for:)``.
    public let number: UInt64
    public let account: AccountID
    /// The tags to add. Leave out everything that an earlier REGISTER carried and this one does not name.
    public let tags: RegisterTags
    /// The whole Contact URI, if it is known. In a removal it is the one that was bound.
    public let contact: String?
    /// Former Contact URIs of this device. Add each with `;expires=0`.
    public let removed: [String]
    /// The value of `Expires`, in seconds. 0 removes the binding.
    public let expires: UInt32
    /// The Request-URI.
    public let requestURI: String
    /// The `uri` for the digest, if it is not the Request-URI (`X-Sy.AuthURI`).
    public let digestURI: String?
    /// Where to send it: a SIP URI or a WebSocket address.
    public let gateway: String

    /// Whether it removes the registration.
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

/// A response to a REGISTER, as the other stack shows it. Pass on everything that the stack shows. With `register`, or with Call-ID and
/// CSeq, the companion can tell responses apart that come out of order. Its description shows no header, because a Contact holds a token.
public struct RegisterResponse: Hashable, Sendable, Redacted {
    /// The status. 408 if no response came.
    public var status: UInt16
    /// The header fields as they were printed: in any case, folded or not, lists in one line or in several.
    public var headers: [NamedValue]
    /// The reason phrase. It is empty if the stack hides it.
    public var phrase: String
    /// The ``CompanionRegister/number`` of the REGISTER, if the app knows it.
    public var register: UInt64?
    /// The Call-ID of the REGISTER, if it is not among the headers.
    public var callID: String?
    /// The number of its CSeq, if it is not among the headers.
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

/// The next step after a response to a REGISTER. Later versions may add cases: have a `default` where you switch.
public enum CompanionNext: Equatable, Sendable {
    /// Nothing, until the companion asks its stack to register.
    case nothing
    /// Take the tags and register at once. The REGISTER leaves out what the server refused, asks for a longer lifetime, goes to a
    /// redirect's target, or removes what is left.
    case again
    /// Answer the challenge. If `changed`, take the tags again first. `digestURI` is the `uri` for the digest, if it is not the
    /// Request-URI.
    case authenticate(changed: Bool, digestURI: String?)
    /// It failed. The companion asks its stack to register when it is time to try again.
    case wait(RegistrationFailure)
    /// The log-out is over.
    case loggedOut(Removed)
    /// The response belongs to an earlier REGISTER, and says nothing about the current one.
    case old
    /// Something that this version has no name for.
    case other(description: String)
}

/// The meaning of a response to a REGISTER.
public struct CompanionAnswer: Equatable, Sendable {
    /// The next step.
    public let next: CompanionNext
    /// The verdict on push, for a 2xx.
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

/// The ways in which the other stack treats an INVITE.
public enum CompanionInvite: Hashable, Sendable {
    /// It rings under this UUID. If a push announced the call, the push has the same UUID. `again` says that another INVITE of this call
    /// rings already. Then show no second screen. The user answers only one of them.
    case ring(UUID, again: Bool)
    /// The user answered before the INVITE came. Accept it without asking again, and call ``SipWakeCompanion/answered(_:)``.
    case accept(UUID)
    /// It does not ring. Respond to it with this status. The call has ended or was already answered. It is nil if nobody here is called.
    case refuse(UUID?, status: UInt16)
}

/// A log-out that no response has proven or accepted. The other stack must still send what ``SipWakeCompanion/registerTags(_:)`` says.
public struct PendingLogOut: Hashable, Sendable {
    /// Its id in the companion.
    public let account: AccountID
    /// The address of record.
    public let aor: String
    /// The user name for the digest.
    public let authUser: String
    /// The password or, in a later process, HA1 for each realm that has asked. That is enough for stacks that take HA1.
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
