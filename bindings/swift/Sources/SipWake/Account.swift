import Foundation
import SipWakeFFI

/// The id of an account in every client and event. It is the same across restarts.
public struct AccountID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// 16 hexadecimal digits.
    public let rawValue: String

    /// Takes an id that was stored as text.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    public var description: String { rawValue }
}

/// The transport that a flow runs on.
public enum Transport: String, Sendable, CaseIterable {
    case udp, tcp, tls
    /// RFC 7118 over WebSocket.
    case ws
    /// RFC 7118 over WebSocket and TLS.
    case wss
}

/// The hash that a digest challenge asks for (RFC 7616 section 6.1).
public enum DigestAlgorithm: Sendable {
    case md5, sha256
    /// `SHA-512-256`.
    case sha512Slash256
}

/// `H(username ":" realm ":" password)` for one realm. In that realm it works like the password; elsewhere it is useless.
public struct RealmHa1: Hashable, Sendable, Redacted {
    /// The realm that went into the hash. It is compared exactly.
    public var realm: String
    public var algorithm: DigestAlgorithm
    /// The hash in hexadecimal digits.
    public var ha1: String

    public init(realm: String, algorithm: DigestAlgorithm, ha1: String) {
        self.realm = realm
        self.algorithm = algorithm
        self.ha1 = ha1
    }

    public var description: String { "RealmHa1(\(realm))" }
}

/// How the user proves who they are.
public enum Credentials: Hashable, Sendable, Redacted {
    /// The password. It is never logged and never stored.
    case password(password: String)
    /// Hashes of the password: each answers one realm and one hash.
    case hashes(hashes: [RealmHa1])

    public var description: String { "Credentials(…)" }
}

/// Mizutech's `X-Sy.*` request headers: which SIP server is behind the gateway.
public struct UpperServer: Hashable, Sendable {
    /// `X-Sy.Uppersrv`: the target SIP server.
    public var server: String?
    /// `X-Sy.Upperproxy`: its proxy.
    public var proxy: String?
    /// `X-Sy.Uppersrvd`: its logical domain when the address differs.
    public var domain: String?

    public init(server: String? = nil, proxy: String? = nil, domain: String? = nil) {
        self.server = server
        self.proxy = proxy
        self.domain = domain
    }
}

/// The settings of an account. The client checks them when it gets them.
public struct AccountConfig: Hashable, Sendable, Redacted {
    /// The address of record, `sip:alice@example.com` or `alice@example.com`.
    public var aor: String
    public var credentials: Credentials
    /// The name shown to others.
    public var displayName: String?
    /// The user name for the digest. Nil means the AOR's user part.
    public var authUser: String?
    /// The registrar's URI. Nil means the AOR's domain.
    public var registrar: String?
    /// A proxy that every request is sent to, as a URI (RFC 3261 section 8.1.2).
    public var outboundProxy: String?
    /// Push gateways in order of preference, as URIs or `host:port`.
    public var gateways: [String]
    /// The server behind the gateway.
    public var upper: UpperServer?
    /// The realm of the upper server, for `X-PIID`. If it is nil, the client learns it from the challenge.
    public var realm: String?
    /// The transport, if no URI names one.
    public var transport: Transport?
    /// The lifetime to ask for, in whole seconds. Nil means a week with push, and an hour without. A server may grant less.
    ///
    /// A server of RFC 8599 pushes shortly before a binding ends, and iOS shows each VoIP push as a call. The longer a binding lives, the
    /// fewer of these calls flash up.
    public var expires: Duration?
    /// The `User-Agent` header. Nil leaves it out.
    public var userAgent: String?
    /// The instance id of RFC 5626, a URN such as `urn:uuid:…`. It must always be the same for one installation.
    public var instanceID: String?
    /// The time between keep-alives on an idle flow, in whole seconds (RFC 5626 section 3.5). Nil sends none.
    public var keepAlive: Duration?
    /// Allows `X-PIID`, which works like the password, over a transport that others can read.
    public var allowCleartextSecrets: Bool
    /// The weakest hash that a challenge may ask for. Nil accepts any hash, except on a network where the same realm asked for a stronger
    /// one before.
    public var minimumDigest: DigestAlgorithm?
    /// Takes a 2xx for a success only if the server proves that it knows the password (`rspauth`).
    public var requireServerProof: Bool
    /// Answers no challenge to a request inside a call, because it may come from the caller.
    public var ignoreChallengesInCalls: Bool
    /// Whether `X-PIID` is sent. Nil sends it if a gateway or a server by Mizutech is configured: by a mode, by `upper`, or by `gateways`
    /// with push settings that name the `X-MPUSH` dialect.
    public var sendPIID: Bool?
    /// Sends this phone's key for sealed pushes, as `X-Push-Key`, in each REGISTER that binds a token. It goes out only over TLS and to a
    /// host in this configuration, never to a redirect's target. Every hop that sees the key can forge sealed pushes.
    public var sendPushKey: Bool
    /// Trusts the content of a push only if the app's decryptor or the phone's own key opened it. Any other push registers like one
    /// without content, and announces and ends no call. PushKit needs a call, so there it becomes a call from an unknown caller.
    public var sealedPushesOnly: Bool
    /// Registers the address that the server saw (RFC 3581) if it differs from ours. This is for servers that send calls to the Contact
    /// itself. It does nothing for WebSocket, whose Contact is not an address.
    public var followObservedAddress: Bool

    public init(
        aor: String, credentials: Credentials, displayName: String? = nil, authUser: String? = nil, registrar: String? = nil,
        outboundProxy: String? = nil, gateways: [String] = [], upper: UpperServer? = nil, realm: String? = nil,
        transport: Transport? = nil, expires: Duration? = nil, userAgent: String? = nil, instanceID: String? = nil,
        keepAlive: Duration? = nil, allowCleartextSecrets: Bool = false, minimumDigest: DigestAlgorithm? = nil,
        requireServerProof: Bool = false, ignoreChallengesInCalls: Bool = false, sendPIID: Bool? = nil, sendPushKey: Bool = false,
        sealedPushesOnly: Bool = false, followObservedAddress: Bool = false
    ) {
        self.aor = aor
        self.credentials = credentials
        self.displayName = displayName
        self.authUser = authUser
        self.registrar = registrar
        self.outboundProxy = outboundProxy
        self.gateways = gateways
        self.upper = upper
        self.realm = realm
        self.transport = transport
        self.expires = expires
        self.userAgent = userAgent
        self.instanceID = instanceID
        self.keepAlive = keepAlive
        self.allowCleartextSecrets = allowCleartextSecrets
        self.minimumDigest = minimumDigest
        self.requireServerProof = requireServerProof
        self.ignoreChallengesInCalls = ignoreChallengesInCalls
        self.sendPIID = sendPIID
        self.sendPushKey = sendPushKey
        self.sealedPushesOnly = sealedPushesOnly
        self.followObservedAddress = followObservedAddress
    }

    public var description: String { "AccountConfig(\(aor))" }

    /// Returns the account's id, which is made from its AOR and registrar.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` if the account cannot be used.
    public func id() throws -> AccountID {
        try translating { AccountID(rawValue: try accountId(account: foreign(pushed: false))) }
    }

    func foreign(pushed: Bool) -> SipWakeFFI.AccountConfig {
        SipWakeFFI.AccountConfig(
            aor: aor, credentials: credentials.foreign, displayName: displayName, authUser: authUser, registrar: registrar,
            outboundProxy: outboundProxy, gateways: gateways,
            upper: upper.map { SipWakeFFI.UpperServer(server: $0.server, proxy: $0.proxy, domain: $0.domain) }, realm: realm,
            transport: transport?.foreign, expiresSeconds: (expires ?? .seconds(pushed ? 604_800 : 3600)).wholeSeconds,
            userAgent: userAgent, instanceId: instanceID, keepAliveSeconds: keepAlive?.wholeSeconds,
            allowCleartextSecrets: allowCleartextSecrets, minimumDigest: minimumDigest?.foreign,
            requireServerProof: requireServerProof, ignoreChallengesInCalls: ignoreChallengesInCalls, sendPiid: sendPIID,
            sendPushKey: sendPushKey, sealedPushesOnly: sealedPushesOnly, followObservedAddress: followObservedAddress)
    }
}

/// An account with its push settings.
public struct AccountSetup: Hashable, Sendable {
    public var account: AccountConfig
    /// Its push settings. Without them it registers without push.
    public var push: PushConfig?
    /// One of Mizutech's push modes. It changes the dialects and, for a gateway, also where the account registers.
    public var mode: PushMode?

    public init(account: AccountConfig, push: PushConfig? = nil, mode: PushMode? = nil) {
        self.account = account
        self.push = push
        self.mode = mode
    }

    var foreign: SipWakeFFI.AccountSetup {
        SipWakeFFI.AccountSetup(account: account.foreign(pushed: push != nil), push: push?.foreign, mode: mode?.foreign)
    }
}

extension Transport {
    var foreign: SipWakeFFI.Transport {
        switch self {
        case .udp: .udp
        case .tcp: .tcp
        case .tls: .tls
        case .ws: .ws
        case .wss: .wss
        }
    }
}

extension Credentials {
    init(_ credentials: SipWakeFFI.Credentials) {
        switch credentials {
        case .password(let password): self = .password(password: password)
        case .hashes(let hashes): self = .hashes(hashes: hashes.map(RealmHa1.init))
        }
    }

    fileprivate var foreign: SipWakeFFI.Credentials {
        switch self {
        case .password(let password): .password(password: password)
        case .hashes(let hashes): .hashes(hashes: hashes.map(\.foreign))
        }
    }
}

extension DigestAlgorithm {
    fileprivate init(_ algorithm: SipWakeFFI.DigestAlgorithm) {
        switch algorithm {
        case .md5: self = .md5
        case .sha256: self = .sha256
        case .sha512Slash256: self = .sha512Slash256
        }
    }

    fileprivate var foreign: SipWakeFFI.DigestAlgorithm {
        switch self {
        case .md5: .md5
        case .sha256: .sha256
        case .sha512Slash256: .sha512Slash256
        }
    }
}

extension RealmHa1 {
    fileprivate init(_ known: SipWakeFFI.RealmHa1) {
        self.init(realm: known.realm, algorithm: DigestAlgorithm(known.algorithm), ha1: known.ha1)
    }

    fileprivate var foreign: SipWakeFFI.RealmHa1 {
        SipWakeFFI.RealmHa1(realm: realm, algorithm: algorithm.foreign, ha1: ha1)
    }
}
