import Foundation
import SipWakeFFI

/// A registrar's response to a REGISTER. Its description shows no token.
public struct Registration: Equatable, Sendable, Redacted {
    /// How long the binding lives.
    public let expires: Duration
    /// What the registrar says about push.
    public let verdict: Verdict
    /// The token that calls are pushed to. Not for logs.
    public let token: String?
    /// The token that alerts are pushed to. Not for logs.
    public let alertToken: String?
    /// Our address and port as the server saw them (RFC 3581).
    public let observedAddress: String?
    /// The server's proof of the password is wrong. Somebody may be between the phone and the server.
    public let suspiciousServer: Bool
    /// The routes that the registrar gives for our requests outside of dialogs, in order (RFC 3608).
    public let serviceRoute: [String]

    public var description: String {
        "Registration(expires: \(expires), verdict: \(verdict), observedAddress: \(observedAddress ?? "nil"))"
    }
}

/// Whether the app can count on pushes.
public enum Standing: Hashable, Sendable {
    /// The server said that it will push.
    case confirmed
    /// The server accepted the REGISTER and said nothing about push. Many servers that push never say so.
    case unconfirmed
    /// The server said that it will not push.
    case refused
    /// The REGISTER did not ask for push.
    case notAsked
}

/// The verdict on push: what a response says about it.
public struct Verdict: Equatable, Sendable {
    /// Whether the app can count on pushes.
    public let standing: Standing
    /// Why, in words.
    public let reason: String
    /// What a developer can do about it. It is empty if there is nothing to do.
    public let advice: String
    /// The server's VAPID key, for web push (RFC 8292).
    public let vapid: String?
    /// How long before expiry an app that wakes itself must refresh at the latest (`+sip.pnsreg`).
    public let refreshLead: Duration?
    /// The value for `pn-purr` in the Contact of answered calls (`+sip.pnspurr`).
    public let purr: String?
    /// The server does not say how long the binding lives. The client refreshes it as if it were the shortest time that the response
    /// allows.
    public let lifetimeUnknown: Bool
    /// `X-PIID` was left out because others can read the transport.
    public let piidWithheld: Bool
    /// `X-PIID` went over a transport that others can read, as the app allowed.
    public let piidInTheClear: Bool
}

/// A REGISTER, or the connection to the registrar, failed.
public struct RegistrationFailure: Equatable, Sendable {
    /// The kind of failure, to branch on.
    public let kind: FailureKind
    /// The final response's status, if there was one.
    public let status: UInt16?
    /// In words.
    public let reason: String
    /// The time until the next attempt. If it is nil, there is none before the app changes something.
    public let retryIn: Duration?

    public init(kind: FailureKind, status: UInt16?, reason: String, retryIn: Duration?) {
        self.kind = kind
        self.status = status
        self.reason = reason
        self.retryIn = retryIn
    }
}

/// Why a registration failed, coarsely.
public struct FailureKind: OpenName {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The server refused the user name or password. Nothing is sent until the credentials change.
    public static let wrongCredentials = Self(rawValue: "wrongCredentials")
    /// No response to the server's challenge is possible.
    public static let unanswerableChallenge = Self(rawValue: "unanswerableChallenge")
    /// The server refuses this account. Nothing is sent until the app asks again.
    public static let refused = Self(rawValue: "refused")
    /// The server responded with an error. Another attempt later may work.
    public static let answered = Self(rawValue: "answered")
    /// No response in time.
    public static let timedOut = Self(rawValue: "timedOut")
    /// No connection to the server, or it broke.
    public static let unreachable = Self(rawValue: "unreachable")
    /// The server's certificate was refused. The reason says why.
    public static let certificate = Self(rawValue: "certificate")
    /// The server redirects or challenges the request in a loop.
    public static let circles = Self(rawValue: "circles")
    /// Any other reason.
    public static let other = Self(rawValue: "other")
}

/// A capability query was answered (RFC 8599 section 4.1.5).
public struct Capabilities: Equatable, Sendable {
    /// The response's status. 555 means that the server does not support the provider.
    public let status: UInt16
    /// The providers that the server named.
    public let providers: [String]
}

/// What the client did with a token.
public enum TokenOutcome: Hashable, Sendable {
    /// It is stored, and it is sent if it is new.
    case taken
    /// It is sent if it is new, but the store is shut or fails. ``SipWakeEvent/durable`` tells when it is stored.
    case notYetDurable
    /// It was empty or `null`. If there is a good token, it stays.
    case ignored
}

/// Whether a command of the app survives the end of the process.
public enum Kept: Hashable, Sendable {
    /// It is stored.
    case durable
    /// The command is carried out, but the store is shut or fails, so a kill now would lose it. ``SipWakeEvent/durable`` tells when it is
    /// stored.
    case notYetDurable
}

extension Kept {
    init(_ kept: SipWakeFFI.Kept) {
        switch kept {
        case .durable: self = .durable
        case .notYetDurable: self = .notYetDurable
        }
    }
}

extension TokenOutcome {
    init(_ outcome: SipWakeFFI.TokenOutcome) {
        switch outcome {
        case .taken: self = .taken
        case .notYetDurable: self = .notYetDurable
        case .ignored: self = .ignored
        }
    }
}

extension Registration {
    init(_ registration: SipWakeFFI.Registration) {
        expires = Duration(milliseconds: registration.expiresMs)
        verdict = Verdict(registration.verdict)
        token = registration.token
        alertToken = registration.alertToken
        observedAddress = registration.observedAddress
        suspiciousServer = registration.suspiciousServer
        serviceRoute = registration.serviceRoute
    }
}

extension Verdict {
    init(_ verdict: SipWakeFFI.Verdict) {
        standing =
            switch verdict.standing {
            case .confirmed: .confirmed
            case .unconfirmed: .unconfirmed
            case .refused: .refused
            case .notAsked: .notAsked
            }
        reason = verdict.reason
        advice = verdict.advice
        vapid = verdict.vapid
        refreshLead = verdict.refreshLeadSeconds.map { .seconds($0) }
        purr = verdict.purr
        lifetimeUnknown = verdict.lifetimeUnknown
        piidWithheld = verdict.piidWithheld
        piidInTheClear = verdict.piidInTheClear
    }
}

extension FailureKind {
    init(_ kind: SipWakeFFI.FailureKind) {
        switch kind {
        case .wrongCredentials: self = .wrongCredentials
        case .unanswerableChallenge: self = .unanswerableChallenge
        case .refused: self = .refused
        case .answered: self = .answered
        case .timedOut: self = .timedOut
        case .unreachable: self = .unreachable
        case .certificate: self = .certificate
        case .circles: self = .circles
        case .other: self = .other
        }
    }
}
