import Foundation
import SipWakeFFI

/// What an app gets to know.
public enum SipWakeEvent: Equatable, Sendable {
    /// The registrar accepted a REGISTER.
    case registered(account: AccountID, Registration)
    /// A REGISTER, or the way to the registrar, failed. It is tried again after `retryIn` seconds; without them not before the app changes something.
    case registrationFailed(account: AccountID, FailureKind, status: UInt16?, reason: String, retryIn: TimeInterval?)
    /// The server confirmed that it forgot a logged-out user's binding.
    case loggedOut(account: AccountID, aor: String)
    /// A capability query was answered; with 555 when the provider asked for is not supported.
    case capabilities(account: AccountID, status: UInt16, providers: [String])
    /// A call was announced, arrived, changed or ended. The UUID is the one that its push has.
    case call(UUID, account: AccountID?, CallChange, CallTimes)
    /// A MESSAGE arrived.
    case chatMessage(account: AccountID, ChatMessage)
    /// The app's store refused a record, or gave back one that cannot be read.
    case storeFailed(key: String, reason: String)
    /// Something from the network was dropped. Told at 1, 2, 4, 8, …
    case discarded(DiscardReason, count: UInt64)
    /// Events were not read in time and are lost.
    case eventsLost(count: UInt64)
    /// Something that this version has no name for.
    case other(description: String)
}

/// When a call came how far, by the device's clock.
public struct CallTimes: Equatable, Sendable {
    /// A push announced it.
    public let announced: Date?
    /// Its INVITE came.
    public let ringing: Date?
    /// The user answered: the 200 was sent.
    public let answered: Date?
    /// The caller's ACK came: both sides may talk.
    public let connected: Date?
    /// It ended.
    public let ended: Date?
    /// Seconds that both sides could talk, measured by a clock that nobody sets; nil before it is over, or if they never could.
    public let talked: TimeInterval?

    init(_ times: SipWakeFFI.CallTimes) {
        func date(_ moment: Moment?) -> Date? { moment.map { Date(timeIntervalSince1970: TimeInterval($0.wallMs) / 1000) } }
        announced = date(times.announced)
        ringing = date(times.ringing)
        answered = date(times.answered)
        connected = date(times.connected)
        ended = date(times.ended)
        talked = times.connected.flatMap { from in
            times.ended.map { TimeInterval($0.bootMs - min(from.bootMs, $0.bootMs)) / 1000 }
        }
    }
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
    /// The Call-ID, by which a push for the same message is recognised.
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
            self = .registered(account: id(account), registration)
        case .registrationFailed(let account, let kind, let status, let reason, let retryInMs):
            let retryIn = retryInMs.map { TimeInterval($0) / 1000 }
            self = .registrationFailed(account: id(account), kind, status: status, reason: reason, retryIn: retryIn)
        case .loggedOut(let account, let aor):
            self = .loggedOut(account: id(account), aor: aor)
        case .capabilities(let account, let status, let providers):
            self = .capabilities(account: id(account), status: status, providers: providers)
        case .call(let uuid, let account, let change, let times):
            if let uuid = UUID(uuidString: uuid) {
                self = .call(uuid, account: account.map(id), change, CallTimes(times))
            } else {
                self = .other(description: "a call without a UUID")
            }
        case .chatMessage(let account, let from, let displayName, let contentType, let text, let callId, let messageId, let date):
            let message = ChatMessage(
                from: from, displayName: displayName, contentType: contentType, text: text, callID: callId,
                messageID: messageId, date: date)
            self = .chatMessage(account: id(account), message)
        case .storeFailed(let key, let reason):
            self = .storeFailed(key: key, reason: reason)
        case .listenerFailed(let reason):
            // Swift apps read a stream and have no listener that could fail.
            self = .other(description: reason)
        case .discarded(let reason, let count):
            self = .discarded(reason, count: count)
        case .eventsLost(let count):
            self = .eventsLost(count: count)
        case .other(let description):
            self = .other(description: description)
        }
    }
}
