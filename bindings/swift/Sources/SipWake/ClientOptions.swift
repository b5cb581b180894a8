import Foundation
import SipWakeFFI

/// Options of a client besides its store and its accounts.
public struct ClientOptions: Sendable {
    /// Judges servers' certificates instead of the system.
    public var serverTrust: (any ServerTrust)?
    /// Trusts only these authorities (PEM, or one in DER). Do not combine it with `serverTrust`.
    public var authorities: Data?
    /// Also demands one of these public keys, as `sha256/BASE64` (RFC 7469 section 2.4).
    public var pins: [String]
    /// The certificate for servers that ask for one.
    public var clientCertificate: ClientCertificate?
    /// Opens payloads before they are read. See also `AccountConfig.sealedPushesOnly`.
    public var decryptor: (any PayloadDecryptor)?
    /// Gets every message that is sent or received, without its secrets, one after the other, on its own thread.
    public var trace: (@Sendable (TracedMessage) -> Void)?
    /// Whether a call may ring if it comes over UDP from another address than the registrar's.
    public var unsolicitedCalls: Bool
    /// Refuses a certificate that names its server only by a wildcard (RFC 5922 section 7.2).
    public var refuseWildcards: Bool
    /// How to probe the gateways of accounts that list several. With nil they are tried in their order.
    public var probing: GatewayProbe?
    /// Looks up names. Nil means `SystemResolver` on Apple's systems. Elsewhere it means the system's resolver, which knows only
    /// addresses.
    public var resolver: (any Resolver)?
    /// Keeps the process running while a push or a log-out is under way. Use `UIKitBackgroundTime()` on iOS, and nil in an extension.
    public var backgroundTime: (any BackgroundTime)?
    /// Records what enters the client from its start, up to so many bytes (at most 33,554,432), for ``SipWakeClient/recording()``. Nil
    /// records nothing. **Ask the user first:** a recording shows who called. It has no password, digest, token, `X-PIID`, key or message
    /// text. A library that was built without replay, as in the packages, refuses it (``SipWakeError/unavailable(reason:)``).
    public var recordForReplay: Int?

    /// Returns options. Everything that you leave out has its default.
    public init(
        serverTrust: (any ServerTrust)? = nil, authorities: Data? = nil, pins: [String] = [],
        clientCertificate: ClientCertificate? = nil, decryptor: (any PayloadDecryptor)? = nil,
        trace: (@Sendable (TracedMessage) -> Void)? = nil, unsolicitedCalls: Bool = false, probing: GatewayProbe? = nil,
        backgroundTime: (any BackgroundTime)? = nil, resolver: (any Resolver)? = nil,
        refuseWildcards: Bool = false, recordForReplay: Int? = nil
    ) {
        self.serverTrust = serverTrust
        self.authorities = authorities
        self.pins = pins
        self.clientCertificate = clientCertificate
        self.decryptor = decryptor
        self.trace = trace
        self.unsolicitedCalls = unsolicitedCalls
        self.refuseWildcards = refuseWildcards
        self.probing = probing
        self.backgroundTime = backgroundTime
        self.resolver = resolver
        self.recordForReplay = recordForReplay
    }

    var foreignResolver: (any SipWakeFFI.Resolver)? {
        #if canImport(dnssd) && canImport(Darwin)
            ForeignResolver(resolver ?? SystemResolver())
        #else
            resolver.map(ForeignResolver.init)
        #endif
    }

    var foreign: SipWakeFFI.ClientOptions {
        SipWakeFFI.ClientOptions(
            authorities: authorities, pins: pins,
            clientCertificate: clientCertificate.map { SipWakeFFI.ClientCertificate(chain: $0.chain, key: $0.key) },
            unsolicitedCalls: unsolicitedCalls, refuseWildcards: refuseWildcards,
            probing: probing?.foreign, recordForReplay: recordForReplay.map(Int64.init))
    }
}

/// The ways to ask a gateway for its load.
public enum GatewayProbe: Hashable, Sendable {
    /// By SIP OPTIONS (RFC 3261 section 11).
    case sipOptions
    /// By Mizutech's HTTP API `wsload`. HTTPS uses the client's trust. Without a port, the gateway's own port is used.
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

/// Judges servers' certificates instead of the system. The server's name is always checked, too.
public protocol ServerTrust: Sendable {
    /// Returns if this chain is trusted: certificates in DER, the server's own first. If it throws, the chain is refused. A thread of the
    /// client calls it and waits. Do not use the network or the client here.
    func verify(chain: [Data], serverName: String) throws
}

/// Opens payloads that a server encrypts before Apple carries them.
///
/// It runs while the system waits. Use no network, and take no lock that somebody holds for long.
public protocol PayloadDecryptor: Sendable {
    /// Returns the fields inside, under the names of any vendor that sipwake knows (simplest: `ntype`, `nfrom`, `nfromusername`,
    /// `ncallid`, `nmsg`), or nil if the payload is not encrypted. If it throws, the payload cannot be opened and is read as it is. A
    /// push that came over PushKit is then a call from an unknown caller.
    func decrypt(_ payload: [String: Any]) throws -> [String: String]?
}

/// Looks up names instead of the system's resolver, which knows only addresses. `DNSServiceQueryRecord`, for example, also knows SRV and
/// NAPTR records (RFC 3263).
///
/// Each call may block. It runs on its own thread, and several run at once. If it throws or takes more than ten seconds, it counts as no
/// result.
public protocol Resolver: Sendable {
    /// Returns a host's addresses as text, best first. Nil asks the system.
    func addresses(of host: String) throws -> [String]?
    /// Returns the SRV records of a name such as `_sip._udp.example.com`.
    func srv(_ name: String) throws -> [SRVRecord]
    /// Returns the NAPTR records of a domain.
    func naptr(_ domain: String) throws -> [NAPTRRecord]
}

extension Resolver {
    public func addresses(of host: String) throws -> [String]? { nil }
    public func srv(_ name: String) throws -> [SRVRecord] { [] }
    public func naptr(_ domain: String) throws -> [NAPTRRecord] { [] }
}

/// An SRV record (RFC 2782).
public struct SRVRecord: Hashable, Sendable {
    /// The lowest is tried first.
    public var priority: UInt16
    /// The share of requests among the records of the same priority.
    public var weight: UInt16
    public var port: UInt16
    /// The host. `.` says that there is no such service.
    public var target: String

    public init(priority: UInt16, weight: UInt16, port: UInt16, target: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.target = target
    }
}

/// A NAPTR record (RFC 3403), without its regular expression, which SIP does not use.
public struct NAPTRRecord: Hashable, Sendable {
    /// The lowest is tried first.
    public var order: UInt16
    /// Among records of the same order, the lowest is tried first.
    public var preference: UInt16
    /// `s` if SRV records follow.
    public var flags: String
    /// For example `SIP+D2U`.
    public var service: String
    /// The name of the SRV records.
    public var replacement: String

    public init(order: UInt16, preference: UInt16, flags: String, service: String, replacement: String) {
        self.order = order
        self.preference = preference
        self.flags = flags
        self.service = service
        self.replacement = replacement
    }
}

/// Asks the system to keep the process running while something is under way, by `UIApplication`'s background tasks.
public protocol BackgroundTime: Sendable {
    /// Begins. The returned function ends it. It can be called more than once, from any thread.
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

final class ForeignResolver: SipWakeFFI.Resolver {
    private let resolver: any Resolver

    init(_ resolver: any Resolver) {
        self.resolver = resolver
    }

    func addresses(host: String) throws -> [String]? {
        try telling { try resolver.addresses(of: host) }
    }

    func srv(name: String) throws -> [SrvRecord] {
        try telling { try resolver.srv(name) }.map {
            SrvRecord(priority: $0.priority, weight: $0.weight, port: $0.port, target: $0.target)
        }
    }

    func naptr(domain: String) throws -> [NaptrRecord] {
        try telling { try resolver.naptr(domain) }.map {
            NaptrRecord(
                order: $0.order, preference: $0.preference, flags: $0.flags, service: $0.service, replacement: $0.replacement)
        }
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
