import Foundation
import SipWakeFFI

/// What a client may be made with besides its store and its accounts.
public struct ClientOptions: Sendable {
    /// Judges servers' certificates in place of the system.
    public var serverTrust: (any ServerTrust)?
    /// Trusts these authorities (PEM, or one in DER) and nobody else; not together with `serverTrust`.
    public var authorities: Data?
    /// Demands one of these public keys, as `sha256/BASE64` (RFC 7469 section 2.4), besides all else.
    public var pins: [String]
    /// Shown to servers that ask for a certificate.
    public var clientCertificate: ClientCertificate?
    /// Opens payloads before they are read.
    public var decryptor: (any PayloadDecryptor)?
    /// Sees every message that is sent or received, without its secrets, one after the other on a thread made for it.
    public var trace: (@Sendable (TracedMessage) -> Void)?
    /// Whether calls that come past the registrar, from an address of their own over UDP, may ring.
    public var unsolicitedCalls: Bool
    /// Whether no word of a push is believed that the decryptor does not open. Such a push wakes the accounts like one without
    /// content; over PushKit it is a call from an unknown caller.
    public var sealedPushesOnly: Bool
    /// How the gateways of accounts that list several are probed; nil: they are tried in their order.
    public var probing: GatewayProbe?

    /// Options that leave all as it is by itself, but for what is given.
    public init(
        serverTrust: (any ServerTrust)? = nil, authorities: Data? = nil, pins: [String] = [],
        clientCertificate: ClientCertificate? = nil, decryptor: (any PayloadDecryptor)? = nil,
        trace: (@Sendable (TracedMessage) -> Void)? = nil, unsolicitedCalls: Bool = false, probing: GatewayProbe? = nil,
        sealedPushesOnly: Bool = false
    ) {
        self.serverTrust = serverTrust
        self.authorities = authorities
        self.pins = pins
        self.clientCertificate = clientCertificate
        self.decryptor = decryptor
        self.trace = trace
        self.unsolicitedCalls = unsolicitedCalls
        self.sealedPushesOnly = sealedPushesOnly
        self.probing = probing
    }

    var foreign: SipWakeFFI.ClientOptions {
        SipWakeFFI.ClientOptions(
            authorities: authorities, pins: pins, clientCertificate: clientCertificate, unsolicitedCalls: unsolicitedCalls,
            sealedPushesOnly: sealedPushesOnly, probing: probing)
    }
}

public typealias GatewayProbe = SipWakeFFI.GatewayProbe
public typealias ClientCertificate = SipWakeFFI.ClientCertificate

extension ClientCertificate: Redacted {
    public var description: String { "ClientCertificate(…)" }
}

/// Judges servers' certificates in place of the system. The server's name is checked besides, always.
public protocol ServerTrust: Sendable {
    /// Returns if this chain is to be trusted: certificates in DER, the server's own first. What is thrown refuses it. Called
    /// on a thread of the client, which waits: no network in here, no call of the client.
    func verify(chain: [Data], serverName: String) throws
}

/// Opens payloads that a server encrypts before they pass Apple's hands.
///
/// It runs while the system waits for an answer: no network, no lock that somebody holds for long.
public protocol PayloadDecryptor: Sendable {
    /// Returns the fields inside, under the names of any vendor known here (simplest: `ntype`, `nfrom`, `nfromusername`,
    /// `ncallid`, `nmsg`), or nil if the payload is not encrypted. What is thrown counts as a payload that cannot be opened:
    /// it is read as it is; on PushKit it is a call from nobody known.
    func decrypt(_ payload: [String: Any]) throws -> [String: String]?
}

/// The log of the whole process.
public enum SipWakeLog {
    /// Sets how much is logged from here on; `info` until then.
    public static func setLevel(_ level: LogLevel) throws {
        try translating { try setLogLevel(level: level) }
    }

    /// Shows the log to the app, beside the system's own log, on a thread made for it, until it is given nil.
    public static func setListener(_ listener: (@Sendable (LogRecord) -> Void)?) throws {
        try translating { try setLogListener(listener: listener.map(ForeignLog.init)) }
    }
}

final class ForeignTrust: SipWakeFFI.ServerTrust {
    private let trust: any ServerTrust

    init(_ trust: any ServerTrust) {
        self.trust = trust
    }

    func verify(chain: [Data], serverName: String) throws {
        try telling { try trust.verify(chain: chain, serverName: serverName) }
    }
}

final class ForeignDecryptor: SipWakeFFI.Decryptor {
    private let decryptor: any PayloadDecryptor

    init(_ decryptor: any PayloadDecryptor) {
        self.decryptor = decryptor
    }

    func decrypt(payload: PushPayload) throws -> [String: String]? {
        try telling {
            switch payload {
            case .json(let bytes):
                guard let fields = try JSONSerialization.jsonObject(with: bytes) as? [String: Any] else { return nil }
                return try decryptor.decrypt(fields)
            case .fields(let entries):
                return try decryptor.decrypt(entries)
            }
        }
    }
}

final class ForeignTrace: TraceListener {
    private let take: @Sendable (TracedMessage) -> Void

    init(_ take: @escaping @Sendable (TracedMessage) -> Void) {
        self.take = take
    }

    func onMessage(message: TracedMessage) throws {
        take(message)
    }
}

private final class ForeignLog: LogListener {
    private let take: @Sendable (LogRecord) -> Void

    init(_ take: @escaping @Sendable (LogRecord) -> Void) {
        self.take = take
    }

    func onLog(record: LogRecord) throws {
        take(record)
    }
}
