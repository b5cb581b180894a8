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
    /// Keeps the process running while a push or a log-out is under way: `UIKitBackgroundTime()` on iOS; nil in an extension.
    public var backgroundTime: (any BackgroundTime)?

    /// Options that leave all as it is by itself, but for what is given.
    public init(
        serverTrust: (any ServerTrust)? = nil, authorities: Data? = nil, pins: [String] = [],
        clientCertificate: ClientCertificate? = nil, decryptor: (any PayloadDecryptor)? = nil,
        trace: (@Sendable (TracedMessage) -> Void)? = nil, unsolicitedCalls: Bool = false, probing: GatewayProbe? = nil,
        sealedPushesOnly: Bool = false, backgroundTime: (any BackgroundTime)? = nil
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
        self.backgroundTime = backgroundTime
    }

    var foreign: SipWakeFFI.ClientOptions {
        SipWakeFFI.ClientOptions(
            authorities: authorities, pins: pins,
            clientCertificate: clientCertificate.map { SipWakeFFI.ClientCertificate(chain: $0.chain, key: $0.key) },
            unsolicitedCalls: unsolicitedCalls, sealedPushesOnly: sealedPushesOnly, probing: probing?.foreign)
    }
}

/// How a gateway is asked for its load.
public enum GatewayProbe: Hashable, Sendable {
    /// By SIP OPTIONS (RFC 3261 section 11).
    case sipOptions
    /// By Mizutech's HTTP API `wsload`; over HTTPS with the client's trust; without a port on the gateway's own.
    case wsLoad(https: Bool, port: UInt16?)

    fileprivate var foreign: SipWakeFFI.GatewayProbe {
        switch self {
        case .sipOptions: .sipOptions
        case .wsLoad(let https, let port): .wsLoad(https: https, port: port)
        }
    }
}

/// A certificate and its private key.
public struct ClientCertificate: Hashable, Sendable, Redacted {
    /// The certificate, then its chain, in PEM or DER.
    public var chain: Data
    /// The private key in PEM: PKCS#8, PKCS#1 or SEC1.
    public var key: Data

    public init(chain: Data, key: Data) {
        self.chain = chain
        self.key = key
    }

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

/// Asks the system to let the process run while something is under way: `UIApplication`'s background tasks.
public protocol BackgroundTime: Sendable {
    /// Begins. What is returned ends it and may be called more than once, from any thread.
    func begin(_ name: String) -> @Sendable () -> Void
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
