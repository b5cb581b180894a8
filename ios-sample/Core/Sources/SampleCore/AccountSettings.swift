import Foundation
import SipWake

/// Server and account as the user types them. The SDK checks them, see ``SettingsProblem``; the payload key, which it does not know, is
/// checked here.
public struct AccountSettings: Codable, Equatable, Sendable, Redacted {
    public var aor = ""
    public var password = ""
    /// The user name of the digest answer, if it is another than the one in `aor`.
    public var authUser = ""
    /// A proxy that every request is sent to.
    public var proxy = ""
    /// A push gateway, for servers that don't push by themselves.
    public var gateway = ""
    public var transport = Transport.automatic
    /// The key for encrypted pushes, of AES, in base64; may stay empty.
    public var payloadKey = ""

    public enum Transport: String, Codable, CaseIterable, Sendable {
        case automatic, udp, tcp, tls, ws, wss
    }

    public init() {}

    public var description: String { "AccountSettings(\(aor))" }

    /// The payload key; nil if there is none.
    func key() throws -> Data? {
        if payloadKey.isEmpty { return nil }
        guard let key = Data(base64Encoded: payloadKey), [16, 24, 32].contains(key.count) else { throw SettingsProblem.badKey }
        return key
    }

    /// The same without the white space that keyboards leave behind.
    var tidy: AccountSettings {
        var tidy = self
        for field in [\Self.aor, \.authUser, \.proxy, \.gateway, \.payloadKey] {
            tidy[keyPath: field] = self[keyPath: field].trimmingCharacters(in: .whitespacesAndNewlines)
        }
        return tidy
    }
}

/// What the app is for Apple: a push reaches it under these names.
public struct AppIdentity: Equatable, Sendable {
    public let bundle: String
    /// Apple's team id; nil if it is not known.
    public let team: String?
    /// Which of APNs' environments its tokens belong to.
    public let environment: Environment

    public init(bundle: String, team: String?, environment: Environment) {
        self.bundle = bundle
        self.team = team
        self.environment = environment
    }
}

extension AccountSettings {
    /// Returns what the SDK is given.
    public func setup(_ app: AppIdentity) -> AccountSetup {
        let account = AccountConfig(
            aor: aor, credentials: .password(password: password), authUser: authUser.given,
            outboundProxy: proxy.given, gateways: gateway.given.map { [$0] } ?? [], transport: transport.known,
            userAgent: "sipwake-ios-sample")
        let push = PushConfig(
            provider: .apns, package: app.bundle, environment: app.environment, teamID: app.team)
        return AccountSetup(account: account, push: push)
    }
}

extension AccountSettings.Transport {
    fileprivate var known: Transport? {
        switch self {
        case .automatic: nil
        case .udp: .udp
        case .tcp: .tcp
        case .tls: .tls
        case .ws: .ws
        case .wss: .wss
        }
    }
}

extension String {
    fileprivate var given: String? { isEmpty ? nil : self }
}

/// Why settings could not be used, and which field of the form says so.
public struct SettingsProblem: Error, Equatable, Sendable {
    public enum Field: Sendable {
        case aor, password, authUser, proxy, gateway, transport, payloadKey
        /// None that the user could change.
        case none
    }

    public let field: Field
    public let reason: String

    static let badKey = SettingsProblem(field: .payloadKey, reason: "must be 16, 24 or 32 bytes in base64")

    private init(field: Field, reason: String) {
        (self.field, self.reason) = (field, reason)
    }

    init(_ error: any Error) {
        if let problem = error as? SettingsProblem {
            self = problem
            return
        }
        guard case SipWakeError.invalidField(let name, let reason) = error else {
            field = .none
            self.reason = error.localizedDescription
            return
        }
        self.reason = reason
        field =
            switch name {
            case "aor": .aor
            case "credentials.password": .password
            case "auth_user": .authUser
            case "outbound_proxy": .proxy
            case "gateways": .gateway
            case "transport": .transport
            default: .none
            }
    }
}
