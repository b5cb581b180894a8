import Foundation
import SipWakeFFI

// The values that cross to Rust unchanged, under the one module that apps import.

public typealias AccountConfig = SipWakeFFI.AccountConfig
public typealias AccountSetup = SipWakeFFI.AccountSetup
public typealias AppState = SipWakeFFI.AppState
public typealias CallChange = SipWakeFFI.CallChange
public typealias CallPolicy = SipWakeFFI.CallPolicy
public typealias Caller = SipWakeFFI.Caller
public typealias Channel = SipWakeFFI.Channel
public typealias Credentials = SipWakeFFI.Credentials
public typealias DeclineHow = SipWakeFFI.DeclineHow
public typealias Dialect = SipWakeFFI.Dialect
public typealias DigestAlgorithm = SipWakeFFI.DigestAlgorithm
public typealias DiscardReason = SipWakeFFI.DiscardReason
public typealias Duty = SipWakeFFI.Duty
public typealias EndReason = SipWakeFFI.EndReason
public typealias Environment = SipWakeFFI.Environment
public typealias FailureKind = SipWakeFFI.FailureKind
public typealias HangUp = SipWakeFFI.HangUp
public typealias IgnoreReason = SipWakeFFI.IgnoreReason
public typealias LogLevel = SipWakeFFI.LogLevel
public typealias LogRecord = SipWakeFFI.LogRecord
public typealias NamedValue = SipWakeFFI.NamedValue
public typealias PayloadProblem = SipWakeFFI.PayloadProblem
public typealias Provider = SipWakeFFI.Provider
public typealias PushConfig = SipWakeFFI.PushConfig
public typealias PushHints = SipWakeFFI.PushHints
public typealias PushKind = SipWakeFFI.PushKind
public typealias PushMode = SipWakeFFI.PushMode
public typealias RealmHa1 = SipWakeFFI.RealmHa1
public typealias RegisterTags = SipWakeFFI.RegisterTags
public typealias Registration = SipWakeFFI.Registration
public typealias Removal = SipWakeFFI.Removal
public typealias SessionDescription = SipWakeFFI.SessionOffer
public typealias Standing = SipWakeFFI.Standing
public typealias Tag = SipWakeFFI.Tag
public typealias TagsBinding = SipWakeFFI.TagsBinding
public typealias TokenOutcome = SipWakeFFI.TokenOutcome
public typealias TracedMessage = SipWakeFFI.TracedMessage
public typealias Transport = SipWakeFFI.Transport
public typealias UpperServer = SipWakeFFI.UpperServer
public typealias Vendor = SipWakeFFI.Vendor
public typealias Verdict = SipWakeFFI.Verdict

/// Names an account in every client and event: the same across restarts.
public struct AccountID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// 16 hexadecimal digits.
    public let rawValue: String

    /// Takes an id that was kept as text.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    public var description: String { rawValue }
}

extension AccountConfig {
    /// Returns the account's id, made of its AOR and registrar.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` when the account cannot be used.
    public func id() throws -> AccountID {
        try translating { AccountID(rawValue: try accountId(account: self)) }
    }
}

// What holds a password or a token shows neither, also in a debugger's dump and inside another value.

/// A value whose description is made without its secrets.
public protocol Redacted: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {}

extension Redacted {
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

extension AccountConfig: Redacted {
    public var description: String { "AccountConfig(\(aor))" }
}

extension Credentials: Redacted {
    public var description: String { "Credentials(…)" }
}

extension RealmHa1: Redacted {
    public var description: String { "RealmHa1(\(realm))" }
}

extension Registration: Redacted {
    public var description: String {
        "Registration(expiresMs: \(expiresMs), verdict: \(verdict), observedAddress: \(observedAddress ?? "nil"))"
    }
}

extension RegisterTags: Redacted {
    public var description: String {
        "RegisterTags(\((headers.map(\.name) + uriParams.map(\.name) + contactParams.map(\.name)).joined(separator: ", ")))"
    }
}

extension SessionDescription: Redacted {
    public var description: String { "SessionDescription(\(contentType), \(body.count) bytes)" }
}

extension SessionDescription {
    /// A description of the type `application/sdp`.
    public init(sdp: String) {
        self.init(contentType: "application/sdp", body: Data(sdp.utf8))
    }

    /// The body as text.
    public var text: String { String(decoding: body, as: UTF8.self) }
}

extension Tag: Redacted {
    public var description: String { value == nil ? name : "\(name)=…" }
}

extension TagsBinding: Redacted {
    public var description: String {
        switch self {
        case .token: "token"
        case .unbound: "unbound"
        case .loggedOut: "loggedOut"
        case .query(let provider): "query(\(provider ?? ""))"
        }
    }
}
