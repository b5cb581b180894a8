import SipWakeFFI

/// Writes the tags of the push dialects and reads the server's verdict, for a SIP stack that is not ours. Opens no socket.
public final class TagsCompanion: Sendable {
    private let ffi: SipWakeFFI.TagsCompanion

    /// Checks the push settings.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``.
    public init(_ push: PushConfig) throws {
        ffi = try translating { try SipWakeFFI.TagsCompanion(push: push) }
    }

    /// Returns what every REGISTER must carry: first, refresh and authenticated retry alike.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` for a token of the wrong shape.
    public func tags(_ binding: TagsBinding) throws -> RegisterTags {
        try translating { try ffi.tags(binding: binding) }
    }

    /// Reads what a server's response to a REGISTER with these tags says about push.
    public func verdict(status: UInt16, headers: [(name: String, value: String)]) throws -> Verdict {
        try translating {
            try ffi.verdict(status: status, headers: headers.map { NamedValue(name: $0.name, value: $0.value) })
        }
    }
}
