import Foundation
import SipWakeFFI

/// The one thing that a push asks for, and what the operating system must be told about it. Its description shows no text.
public struct PushAction: Equatable, Sendable, Redacted {
    /// What the push asks for.
    public let kind: PushKind
    /// What the operating system must be told, at once and on the same thread.
    public let duty: Duty
    /// The way the push came.
    public let channel: Channel
    /// Whose payload it is; nil if no vendor knew it.
    public let vendor: Vendor?
    /// Why the payload could not be understood.
    public let problem: PayloadProblem?
    /// The account that is called, as the payload spells it.
    public let account: String?
    /// The caller's or sender's number or URI, as the payload spells it.
    public let caller: String?
    /// What to show as the caller: the name, else the number or URI, else nothing at all.
    public let callerLabel: String?
    /// The title that the server suggests for a notification.
    public let title: String?
    /// The text that comes along. Of a chat message it is the first part only.
    public let text: String?
    /// The Call-ID of the call or of the chat's MESSAGE, where the payload tells.
    public let callID: String?
    /// The call's UUID, the same for its push, its INVITE and its cancel.
    public let uuid: UUID
    /// Seconds until the call is over unless its INVITE has come. Calls only.
    public let timeLeft: TimeInterval?
    /// Whoever knows the token may have written this: what it says of the caller is a claim until the INVITE comes.
    public let unverified: Bool

    public var description: String { "PushAction(\(kind), \(duty), \(channel), \(uuid))" }
}

extension PushAction {
    init(_ action: SipWakeFFI.PushAction) {
        kind = action.kind
        duty = action.duty
        channel = action.channel
        vendor = action.vendor
        problem = action.problem
        account = action.account
        caller = action.caller
        callerLabel = action.callerLabel
        title = action.title
        text = action.text
        callID = action.callId
        uuid = UUID(uuidString: action.uuid) ?? UUID()
        timeLeft = action.timeLeftMs.map { TimeInterval($0) / 1000 }
        unverified = action.unverified
    }

    /// What is left when reading a push failed because of a bug: on PushKit, a call must still be reported.
    static func unknown(_ channel: Channel) -> Self {
        let calls = channel == .pushKit
        return Self(
            kind: calls ? .incomingCall(video: false) : .ignore(reason: .notUnderstood),
            duty: calls ? .reportCall : .nothing, channel: channel, vendor: nil, problem: .unreadable, account: nil,
            caller: nil, callerLabel: nil, title: nil, text: nil, callID: nil, uuid: UUID(), timeLeft: calls ? 40 : nil,
            unverified: true)
    }
}

/// Says what a push means, without a client and its knowledge of who is logged in. Use ``SipWakeClient/push(_:channel:hints:)``
/// where there is a client.
///
/// Never throws: whatever the payload, there is an action; for a PushKit push it is one that can be shown to CallKit.
public func readPush(_ payload: [AnyHashable: Any], channel: Channel, hints: PushHints = PushHints()) -> PushAction {
    readPush(json: json(payload), channel: channel, hints: hints)
}

/// As the other `readPush`, for a payload that is JSON text.
public func readPush(json: Data, channel: Channel, hints: PushHints = PushHints()) -> PushAction {
    readPush(json: json, channel: channel, hints: hints, opening: nil)
}

/// Says what an encrypted push means, with the app's own decryption first: for a Notification Service Extension, which has no client.
public func readPush(
    _ payload: [AnyHashable: Any], channel: Channel, hints: PushHints = PushHints(), opening decryptor: any PayloadDecryptor
) -> PushAction {
    readPush(json: json(payload), channel: channel, hints: hints, opening: ForeignDecryptor(decryptor))
}

private func readPush(json: Data, channel: Channel, hints: PushHints, opening decryptor: ForeignDecryptor?) -> PushAction {
    let action = try? parsePush(payload: .json(bytes: json), channel: channel, hints: hints, decryptor: decryptor)
    return action.map(PushAction.init) ?? .unknown(channel)
}
