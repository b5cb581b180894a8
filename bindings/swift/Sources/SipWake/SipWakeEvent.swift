import Foundation
import SipWakeFFI

/// Something that an app should know. Later versions may add cases: have a `default` where you switch.
public enum SipWakeEvent: Equatable, Sendable {
    /// The registrar accepted a REGISTER.
    case registered(account: AccountID, Registration)
    /// A REGISTER, or the connection to the registrar, failed.
    case registrationFailed(account: AccountID, RegistrationFailure)
    /// Too many pushes came, and the next REGISTER follows after `wait`. Six are sent at once, then one every ten seconds.
    case registerDelayed(account: AccountID, wait: Duration)
    /// Do not disturb is over. The client makes the push binding again.
    case doNotDisturbOver(account: AccountID)
    /// A push was sealed and could not be opened. It is silent, or over PushKit a call from an unknown caller.
    case pushUnopened(PayloadProblem)
    /// A log-out is over.
    case loggedOut(account: AccountID, LogOut)
    /// A capability query was answered.
    case capabilities(account: AccountID, Capabilities)
    /// A call was announced, arrived, changed or ended.
    case call(CallUpdate)
    /// A MESSAGE arrived.
    case chatMessage(account: AccountID, ChatMessage)
    /// Everything that the app asked for is stored, including commands that were not durable at first.
    case durable
    /// Something on the network asked for something that the app did not allow, or something may be forged.
    case warning(account: AccountID, Warning)
    /// The app's store refused a record, or returned one that cannot be read.
    case storeFailed(key: String, reason: String)
    /// Something failed that no caller waits for: a system framework, or a command of a bridge.
    case failed(Failure)
    /// Something from the network was dropped. The event comes at 1, 2, 4, 8, …
    case discarded(DiscardReason, count: UInt64)
    /// Events were not read in time and are lost for this reader.
    case eventsLost(count: UInt64)
    /// Something that this version has no name for.
    case other(description: String)
}

/// A log-out that is over.
public struct LogOut: Equatable, Sendable {
    /// The address of record, because the account itself no longer exists.
    public let aor: String
    /// What the server's response proves.
    public let removed: Removed

    public init(aor: String, removed: Removed) {
        self.aor = aor
        self.removed = removed
    }
}

/// What is known about the bindings of a user who logged out.
public struct Removed: OpenName {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The server no longer lists our Contact, has listed it before, and the Contact carried everything about push.
    public static let proven = Self(rawValue: "proven")
    /// The server accepted the removal, but the client cannot see its effect.
    public static let accepted = Self(rawValue: "accepted")
    /// Nothing was ever sent to a server, or a server does not know the user and never accepted anything.
    public static let neverBound = Self(rawValue: "neverBound")
    /// No server could be reached for 30 days, or there were too many log-outs.
    public static let givenUp = Self(rawValue: "givenUp")
}

/// Something that failed, with the system's code.
public struct Failure: Error, Hashable, Sendable {
    /// Where: `CallKit`, `PushKit`, `UserNotifications`, `Keychain`, `AVFAudio`, `BackgroundTasks`, `sipwake`, ….
    public let domain: String
    /// The task that failed, for example `report an incoming call`.
    public let doing: String
    /// The system's code, for example CallKit's 3 for a Focus. 0 if there is none.
    public let code: Int
    /// In words.
    public let reason: String

    public init(domain: String, doing: String, code: Int = 0, reason: String) {
        self.domain = domain
        self.doing = doing
        self.code = code
        self.reason = reason
    }

    /// Takes code and words from an error.
    public init(domain: String, doing: String, _ error: any Error) {
        self.init(domain: domain, doing: doing, code: (error as NSError).code, reason: error.localizedDescription)
    }
}

/// Something on the network was refused, or may be forged.
public struct Warning: Hashable, Sendable {
    /// The kind, to branch on.
    public let kind: WarningKind
    /// In words: the request, what happened, and what the app can do.
    public let reason: String
    /// The realm that the server asked for, if the warning is about one. ``SipWakeClient/acceptRealm(_:for:)`` takes it.
    public let realm: String?
}

/// The subject of a ``Warning``.
public struct WarningKind: OpenName {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// A redirect names a host that the app did not configure for its secrets. Nothing was sent there.
    public static let redirectRefused = Self(rawValue: "redirectRefused")
    /// `X-Sy.AuthURI` names neither the registrar nor the upper server. It is not used.
    public static let authURIRefused = Self(rawValue: "authURIRefused")
    /// A server asks for another realm than before, over a transport without TLS. The client responded to it.
    public static let realmChanged = Self(rawValue: "realmChanged")
    /// The server asks for another realm than the one that `X-PIID` is pinned to. The pinned one stays.
    public static let pinnedRealmChanged = Self(rawValue: "pinnedRealmChanged")
    /// Somebody inside a call asks for credentials. They got none.
    public static let callChallengeRefused = Self(rawValue: "callChallengeRefused")
    /// The server's proof that it knows the password is wrong.
    public static let serverProofWrong = Self(rawValue: "serverProofWrong")
    /// Anything else.
    public static let other = Self(rawValue: "other")
}

/// Why something from the network was dropped.
public struct DiscardReason: OpenName {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// Not a SIP message.
    public static let malformed = Self(rawValue: "malformed")
    /// A response that none of our requests waits for.
    public static let foreignResponse = Self(rawValue: "foreignResponse")
    /// A request that we cannot respond to.
    public static let strayRequest = Self(rawValue: "strayRequest")
    /// It came from a flow that is closed.
    public static let deadFlow = Self(rawValue: "deadFlow")
    /// Too many calls at once.
    public static let tooManyCalls = Self(rawValue: "tooManyCalls")
    /// A cancel push that names no announced call. It ended nothing.
    public static let strayCancel = Self(rawValue: "strayCancel")
    /// A request that did not come from the registrar.
    public static let unsolicited = Self(rawValue: "unsolicited")
    /// Anything else.
    public static let other = Self(rawValue: "other")
}

/// A message as it came over SIP. Its description does not show the text.
public struct ChatMessage: Equatable, Sendable, Redacted {
    /// The sender's URI.
    public let from: String
    /// The sender's display name.
    public let displayName: String?
    /// The body's type, for example `text/plain`.
    public let contentType: String
    /// The text.
    public let text: String
    /// The Call-ID. A push for the same message has it, too.
    public let callID: String
    /// The id that its sender or its server gave it.
    public let messageID: String?
    /// When it was sent, as its sender says, unchecked.
    public let date: String?

    public var description: String { "ChatMessage(from: \(from), \(contentType), \(text.utf8.count) bytes)" }
}

extension SipWakeEvent {
    init(_ event: SipWakeFFI.Event) {
        func id(_ account: String) -> AccountID { AccountID(rawValue: account) }
        switch event {
        case .registered(let account, let registration):
            self = .registered(account: id(account), Registration(registration))
        case .registrationFailed(let account, let kind, let status, let reason, let retryInMs):
            let retryIn = retryInMs.map(Duration.init(milliseconds:))
            let failure = RegistrationFailure(kind: FailureKind(kind), status: status, reason: reason, retryIn: retryIn)
            self = .registrationFailed(account: id(account), failure)
        case .registerDelayed(let account, let waitMs):
            self = .registerDelayed(account: id(account), wait: Duration(milliseconds: waitMs))
        case .durable:
            self = .durable
        case .doNotDisturbOver(let account):
            self = .doNotDisturbOver(account: id(account))
        case .pushUnopened(let problem):
            self = .pushUnopened(PayloadProblem(problem))
        case .loggedOut(let account, let aor, let removed):
            self = .loggedOut(account: id(account), LogOut(aor: aor, removed: Removed(removed)))
        case .capabilities(let account, let status, let providers):
            self = .capabilities(account: id(account), Capabilities(status: status, providers: providers))
        case .call(let uuid, let account, let change, let times):
            if let uuid = UUID(uuidString: uuid) {
                let (account, change) = (account.map(id), CallChange(change))
                self = .call(CallUpdate(id: uuid, account: account, change: change, times: CallTimes(times)))
            } else {
                self = .other(description: "a call without a UUID")
            }
        case .chatMessage(let account, let from, let displayName, let contentType, let text, let callId, let messageId, let date):
            let message = ChatMessage(
                from: from, displayName: displayName, contentType: contentType, text: text, callID: callId,
                messageID: messageId, date: date)
            self = .chatMessage(account: id(account), message)
        case .warning(let account, let kind, let reason, let realm):
            self = .warning(account: id(account), Warning(kind: WarningKind(kind), reason: reason, realm: realm))
        case .storeFailed(let key, let reason):
            self = .storeFailed(key: key, reason: reason)
        case .listenerFailed(let reason):
            // Swift apps read a stream and have no listener that could fail.
            self = .other(description: reason)
        case .discarded(let reason, let count):
            self = .discarded(DiscardReason(reason), count: count)
        case .eventsLost(let count):
            self = .eventsLost(count: count)
        case .other(let description):
            self = .other(description: description)
        }
    }
}

extension Removed {
    init(_ removed: SipWakeFFI.Removed) {
        switch removed {
        case .proven: self = .proven
        case .accepted: self = .accepted
        case .neverBound: self = .neverBound
        case .givenUp: self = .givenUp
        }
    }
}

extension WarningKind {
    fileprivate init(_ kind: SipWakeFFI.WarningKind) {
        switch kind {
        case .redirectRefused: self = .redirectRefused
        case .authUriRefused: self = .authURIRefused
        case .realmChanged: self = .realmChanged
        case .pinnedRealmChanged: self = .pinnedRealmChanged
        case .callChallengeRefused: self = .callChallengeRefused
        case .serverProofWrong: self = .serverProofWrong
        case .other: self = .other
        }
    }
}

extension DiscardReason {
    fileprivate init(_ reason: SipWakeFFI.DiscardReason) {
        switch reason {
        case .malformed: self = .malformed
        case .foreignResponse: self = .foreignResponse
        case .strayRequest: self = .strayRequest
        case .deadFlow: self = .deadFlow
        case .tooManyCalls: self = .tooManyCalls
        case .strayCancel: self = .strayCancel
        case .unsolicited: self = .unsolicited
        case .other: self = .other
        }
    }
}
