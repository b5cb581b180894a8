import SipWakeFFI

/// The push services.
public enum Provider: Hashable, Sendable {
    /// Apple's push service, or PushKit for calls.
    case apns
    /// Firebase Cloud Messaging on Apple's systems.
    case firebase
    /// Any other provider, by its name in `pn-provider`, which is a token of RFC 3261.
    case other(name: String)
}

/// Which of APNs' two environments a token belongs to. A sandbox token fails in production, and the reverse.
public enum Environment: Hashable, Sendable {
    /// The server's own setting decides.
    case serverDefault
    /// Apps run from Xcode.
    case sandbox
    /// TestFlight, the App Store, ad hoc and enterprise distribution.
    case production
}

/// A way to tell the server where to push. Several can be used together.
public enum Dialect: Hashable, Sendable, CaseIterable {
    /// Mizutech's `X-MPUSH` and `X-PIID` headers.
    case xMpush
    /// RFC 8599's `pn-*` Contact URI parameters.
    case rfc8599
    /// Linphone's double-token form of RFC 8599.
    case linphone
    /// PortSIP's `X-Push` header.
    case portSip
    /// PortSIP PBX 12, whose header is called `x-p-push`.
    case portSipPbx12
    /// Older PortSIP, whose header is called `portsip-push`.
    case portSipOld
    /// ABTO's `push-token-*` Contact header parameters.
    case abto
    /// `app-id;pn-type;pn-tok` as Contact URI parameters (Flexisip before RFC 8599).
    case appIdInUri
    /// `app-id;pn-type;pn-tok` as Contact header parameters (Kazoo).
    case appIdInHeader
}

/// How RFC 8599 removes a binding. Servers differ here.
public enum Removal: Hashable, Sendable {
    /// The exact Contact that was bound, with `Expires: 0`. Every registrar finds it, and OpenSIPS finds nothing else.
    case sameBinding
    /// As in RFC 8599 section 4.1.2: without `pn-prid`.
    case withoutPrid
    /// Mizutech: `pn-prid=null`.
    case nullPrid
}

/// How push is reached, by the names that Mizutech's SDK gives its modes.
public enum PushMode: Hashable, Sendable {
    /// -1 and 1: try the modes that the server understands.
    case auto
    /// 0: no push.
    case disabled
    /// 2: the SIP server itself understands `X-MPUSH`.
    case direct
    /// 3: through a push gateway, `host:port` or a URI.
    case gateway(address: String)
    /// 3, with the gateway that Mizutech runs.
    case mizutechGateway
}

/// The push settings of an app. The client checks them when it gets them.
public struct PushConfig: Hashable, Sendable {
    public var provider: Provider
    /// The bundle id, or the project id for Firebase.
    public var package: String
    /// The dialects to speak. Nil means RFC 8599 and `X-MPUSH` together, then whichever the server understands.
    public var dialects: [Dialect]?
    /// Sandbox or production, see ``Environment/ofThisApp(_:)``. With nil the server uses its own setting.
    public var environment: Environment?
    /// Apple's team id. With it, `pn-param` is `TEAM.BUNDLE.voip` (RFC 8599 section 14.5). Without it, `pn-param` is the bare bundle id.
    public var teamID: String?
    /// The whole `pn-param`, if the server wants another one than these fields give.
    public var pnParam: String?
    /// The app can wake itself to refresh its binding. Sends `+sip.pnsreg` (RFC 8599 section 4.1.4).
    public var wakesItself: Bool
    /// How to remove an RFC 8599 binding. Nil means by the exact Contact that was bound.
    public var removal: Removal?
    /// PortSIP: push calls.
    public var pushCalls: Bool
    /// PortSIP: push messages.
    public var pushMessages: Bool
    /// Linphone: further Contact URI parameters, such as `pn-silent`, `pn-timeout`, `pn-call-str`.
    public var linphoneParams: [NamedValue]

    public init(
        provider: Provider, package: String, dialects: [Dialect]? = nil, environment: Environment? = nil,
        teamID: String? = nil, pnParam: String? = nil, wakesItself: Bool = false, removal: Removal? = nil,
        pushCalls: Bool = true, pushMessages: Bool = true, linphoneParams: [NamedValue] = []
    ) {
        self.provider = provider
        self.package = package
        self.dialects = dialects
        self.environment = environment
        self.teamID = teamID
        self.pnParam = pnParam
        self.wakesItself = wakesItself
        self.removal = removal
        self.pushCalls = pushCalls
        self.pushMessages = pushMessages
        self.linphoneParams = linphoneParams
    }

    var foreign: SipWakeFFI.PushConfig {
        SipWakeFFI.PushConfig(
            provider: provider.foreign, package: package, dialects: dialects?.map(\.foreign),
            environment: environment?.foreign, teamId: teamID, pnParam: pnParam, wakesItself: wakesItself,
            removal: removal?.foreign, pushCalls: pushCalls, pushMessages: pushMessages,
            linphoneParams: linphoneParams.map(\.foreign))
    }
}

extension NamedValue {
    var foreign: SipWakeFFI.NamedValue { SipWakeFFI.NamedValue(name: name, value: value) }
}

extension Provider {
    fileprivate var foreign: SipWakeFFI.Provider {
        switch self {
        case .apns: .apns
        case .firebase: .fcmOnIos
        case .other(let name): .other(name: name)
        }
    }
}

extension Environment {
    fileprivate var foreign: SipWakeFFI.Environment {
        switch self {
        case .serverDefault: .serverDefault
        case .sandbox: .sandbox
        case .production: .production
        }
    }
}

extension Dialect {
    fileprivate var foreign: SipWakeFFI.Dialect {
        switch self {
        case .xMpush: .xMpush
        case .rfc8599: .rfc8599
        case .linphone: .linphone
        case .portSip: .portSip
        case .portSipPbx12: .portSipPbx12
        case .portSipOld: .portSipOld
        case .abto: .abto
        case .appIdInUri: .appIdInUri
        case .appIdInHeader: .appIdInHeader
        }
    }
}

extension Removal {
    fileprivate var foreign: SipWakeFFI.Removal {
        switch self {
        case .sameBinding: .sameBinding
        case .withoutPrid: .withoutPrid
        case .nullPrid: .nullPrid
        }
    }
}

extension PushMode {
    var foreign: SipWakeFFI.PushMode {
        switch self {
        case .auto: .auto
        case .disabled: .disabled
        case .direct: .direct
        case .gateway(let address): .gateway(address: address)
        case .mizutechGateway: .mizutechGateway
        }
    }
}
