import SipWakeFFI

/// One parameter with or without a value.
public struct Tag: Hashable, Sendable, Redacted {
    /// The parameter's name.
    public let name: String
    /// Its value, already escaped for its place. It may hold a token, so do not log it.
    public let value: String?

    public var description: String { value == nil ? name : "\(name)=…" }
}

/// What a REGISTER must carry so that the server knows where to push. It holds tokens, so do not log it.
public struct RegisterTags: Hashable, Sendable, Redacted {
    /// Header fields, such as `X-MPUSH`.
    public let headers: [NamedValue]
    /// Parameters of the Contact URI, inside `<` and `>`, such as `pn-prid`.
    public let uriParams: [Tag]
    /// Parameters of the Contact header, after `>`, such as `+sip.pnsreg`.
    public let contactParams: [Tag]
    /// The Contact URI's parameters as text: `;pn-provider=apns;pn-prid=…`.
    public let uriParamsText: String
    /// The Contact header's parameters as text: `;+sip.pnsreg`.
    public let contactParamsText: String

    init(_ tags: SipWakeFFI.RegisterTags) {
        headers = tags.headers.map { NamedValue(name: $0.name, value: $0.value) }
        uriParams = tags.uriParams.map { Tag(name: $0.name, value: $0.value) }
        contactParams = tags.contactParams.map { Tag(name: $0.name, value: $0.value) }
        uriParamsText = tags.uriParamsText
        contactParamsText = tags.contactParamsText
    }

    public var description: String {
        "RegisterTags(\((headers.map(\.name) + uriParams.map(\.name) + contactParams.map(\.name)).joined(separator: ", ")))"
    }
}

/// What a REGISTER says about the push binding.
public enum TagsBinding: Hashable, Sendable, Redacted {
    /// Push to these tokens: PushKit's, and the one for alerts. Without a token, the REGISTER says nothing about push.
    case token(token: String?, alert: String?)
    /// Stop pushing, but stay registered.
    case unbound
    /// Stop pushing, and forget the Contact that was bound with these tokens.
    case loggedOut(token: String?, alert: String?)
    /// Ask whether the server supports this provider or, with nil, which ones it supports (RFC 8599 section 4.1.5).
    case query(provider: String?)

    public var description: String {
        switch self {
        case .token: "token"
        case .unbound: "unbound"
        case .loggedOut: "loggedOut"
        case .query(let provider): "query(\(provider ?? ""))"
        }
    }

    fileprivate var foreign: SipWakeFFI.TagsBinding {
        switch self {
        case .token(let token, let alert): .token(token: token, alert: alert)
        case .unbound: .unbound
        case .loggedOut(let token, let alert): .loggedOut(token: token, alert: alert)
        case .query(let provider): .query(provider: provider)
        }
    }
}

/// Writes the tags of the push dialects and reads the server's verdict, for another SIP stack. It opens no socket.
public final class TagsCompanion: Sendable {
    private let ffi: SipWakeFFI.TagsCompanion

    /// Checks the push settings.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``.
    public init(_ push: PushConfig) throws {
        ffi = try translating { try SipWakeFFI.TagsCompanion(push: push.foreign) }
    }

    /// Returns what every REGISTER must carry: the first one, each refresh and each retry with credentials.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` for a token of the wrong shape.
    public func tags(_ binding: TagsBinding) throws -> RegisterTags {
        RegisterTags(try translating { try ffi.tags(binding: binding.foreign) })
    }

    /// Returns what a server's response to a REGISTER with these tags says about push.
    public func verdict(status: UInt16, headers: [(name: String, value: String)]) throws -> Verdict {
        try translating {
            Verdict(try ffi.verdict(status: status, headers: headers.map { SipWakeFFI.NamedValue(name: $0.name, value: $0.value) }))
        }
    }
}
