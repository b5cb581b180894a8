import Foundation
import SipWakeFFI

/// How a push came to the app.
public enum Channel: Hashable, Sendable {
    /// Apple's VoIP pushes: `PKPushPayload.dictionaryPayload`.
    case pushKit
    /// APNs' alerts and background pushes: the notification's user info.
    case apnsAlert
    /// The same through Firebase.
    case firebase
}

/// The app's state when the push came.
public enum AppState: Hashable, Sendable {
    /// In the foreground, and the user is looking at it.
    case foreground
    /// In the background.
    case background
    /// This push started it.
    case notRunning
}

/// What the operating system says about a push besides its content. Leave out what you do not know.
public struct PushHints: Hashable, Sendable {
    /// `PKVoIPPushMetadata.mustReport` (iOS 26.4 and later). Nil counts as yes.
    public var mustReport: Bool?
    public var appState: AppState?

    public init(mustReport: Bool? = nil, appState: AppState? = nil) {
        self.mustReport = mustReport
        self.appState = appState
    }
}

/// The kinds of actions.
public enum PushKind: Hashable, Sendable {
    /// A call is about to come. `video` says that the server announced video.
    case incomingCall(video: Bool)
    /// A message is waiting, with this MIME type, if the payload has it.
    case chat(mimeType: String?)
    /// A call that was announced is over.
    case cancel
    /// Something that the app and its server agreed on, under the type as it was sent: Mizutech's `ntype`, Flexisip's `loc-key`,
    /// PortSIP's `msg_type`. The app reads the payload itself.
    case custom(ntype: String)
    /// Register again, silently.
    case refreshBinding
    /// Nothing.
    case ignore(reason: IgnoreReason)
}

/// Why a push asks for nothing.
public struct IgnoreReason: OpenName {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// It could not be understood. The action's `problem` says why.
    public static let notUnderstood = Self(rawValue: "notUnderstood")
    /// It is for a user who is not logged in.
    public static let loggedOut = Self(rawValue: "loggedOut")
    /// The user does not want to be disturbed.
    public static let doNotDisturb = Self(rawValue: "doNotDisturb")
    /// Its call is over.
    public static let callOver = Self(rawValue: "callOver")
    /// More calls are announced than a client can hold.
    public static let noRoom = Self(rawValue: "noRoom")
}

/// Why a payload could not be understood. A VoIP push is still a call from an unknown caller.
public struct PayloadProblem: OpenName {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// There was nothing in it.
    public static let empty = Self(rawValue: "empty")
    /// It is not JSON.
    public static let unreadable = Self(rawValue: "unreadable")
    /// It is longer than 64 KiB.
    public static let tooLarge = Self(rawValue: "tooLarge")
    /// It is readable, but it belongs to no vendor that sipwake knows.
    public static let unrecognised = Self(rawValue: "unrecognised")
    /// The app takes only sealed payloads, and its decryptor did not open this one.
    public static let notSealed = Self(rawValue: "notSealed")
    /// It is sealed, and no key of this phone opens it. It is for another phone, or somebody changed it.
    public static let sealedForeign = Self(rawValue: "sealedForeign")
    /// It is sealed, and cut short or in an unknown form.
    public static let sealedTorn = Self(rawValue: "sealedTorn")
    /// It is sealed, and longer than 2,800 bytes.
    public static let sealedTooLarge = Self(rawValue: "sealedTooLarge")
    /// It is sealed, and was opened before.
    public static let sealedReplayed = Self(rawValue: "sealedReplayed")
    /// The sealed content is not a JSON object.
    public static let sealedUnreadable = Self(rawValue: "sealedUnreadable")
    /// It is sealed, and the keys cannot be read now, because the user has not unlocked the phone yet or the store fails.
    public static let sealedKeysUnreadable = Self(rawValue: "sealedKeysUnreadable")
}

/// The vendor whose payload a push carries.
public struct Vendor: OpenName {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// Mizutech's server, gateway and SDKs.
    public static let mizutech = Self(rawValue: "mizutech")
    /// Flexisip (Linphone), and Kazoo, which sends the same fields.
    public static let flexisip = Self(rawValue: "flexisip")
    /// PortSIP PBX.
    public static let portSip = Self(rawValue: "portSip")
    /// Acrobits: calls without its SIPIS, and messages.
    public static let acrobits = Self(rawValue: "acrobits")
    /// Twilio Voice.
    public static let twilio = Self(rawValue: "twilio")
    /// Telnyx Voice.
    public static let telnyx = Self(rawValue: "telnyx")
    /// Vialer (VoIPGRID).
    public static let vialer = Self(rawValue: "vialer")
    /// One that this version has no name for.
    public static let other = Self(rawValue: "other")
}

/// What to tell iOS about a push. Do it at once, on the same thread.
public enum Duty: Hashable, Sendable {
    /// Report an incoming call before PushKit's delegate returns.
    case reportCall
    /// Report a call before PushKit's delegate returns. End it at once if CallKit took it for a new one.
    case reportThenEnd
    /// Show a notification.
    case showNotification
    /// Nothing.
    case nothing
}

/// The action that a push asks for, and what to tell the operating system about it. Its description shows no text.
public struct PushAction: Equatable, Sendable, Redacted {
    /// The kind of action.
    public let kind: PushKind
    /// What to tell the operating system, at once and on the same thread.
    public let duty: Duty
    /// How the push came.
    public let channel: Channel
    /// The payload's vendor. It is nil if no vendor knew the payload.
    public let vendor: Vendor?
    /// Why the payload could not be understood.
    public let problem: PayloadProblem?
    /// The account that is called, as the payload spells it.
    public let account: String?
    /// The caller's or sender's number or URI, as the payload spells it.
    public let caller: String?
    /// The text to show as the caller: the name, or the number or URI, or nothing.
    public let callerLabel: String?
    /// The title that the server suggests for a notification.
    public let title: String?
    /// The text that comes along. For a chat message it is only the first part.
    public let text: String?
    /// The Call-ID of the call or of the chat's MESSAGE, if the payload has it.
    public let callID: String?
    /// The call's UUID. It is the same for a call's push, INVITE and cancel.
    public let uuid: UUID
    /// How long until the call ends if its INVITE does not come. Only for calls.
    public let timeLeft: Duration?
    /// Anybody who knows the token can have sent this. The caller is only a claim until the INVITE comes.
    public let unverified: Bool

    public var description: String { "PushAction(\(kind), \(duty), \(channel), \(uuid))" }
}

extension PushAction {
    init(_ action: SipWakeFFI.PushAction) {
        kind = PushKind(action.kind)
        duty = Duty(action.duty)
        channel = Channel(action.channel)
        vendor = action.vendor.map(Vendor.init)
        problem = action.problem.map(PayloadProblem.init)
        account = action.account
        caller = action.caller
        callerLabel = action.callerLabel
        title = action.title
        text = action.text
        callID = action.callId
        uuid = UUID(uuidString: action.uuid) ?? UUID()
        timeLeft = action.timeLeftMs.map(Duration.init(milliseconds:))
        unverified = action.unverified
    }

    /// The action if reading a push failed because of a bug. On PushKit, a call must still be reported.
    static func unknown(_ channel: Channel) -> Self {
        let calls = channel == .pushKit
        return Self(
            kind: calls ? .incomingCall(video: false) : .ignore(reason: .notUnderstood),
            duty: calls ? .reportCall : .nothing, channel: channel, vendor: nil, problem: .unreadable, account: nil,
            caller: nil, callerLabel: nil, title: nil, text: nil, callID: nil, uuid: UUID(), timeLeft: calls ? .seconds(40) : nil,
            unverified: true)
    }
}

/// The public part of this phone's key for sealed pushes. Its description does not show the auth secret.
public struct PushKey: Hashable, Sendable, Redacted {
    /// The phone's public key, as `p256dh` of a web push subscription: 65 bytes in base64url without padding.
    public let p256dh: String
    /// The auth secret, as `auth` of a web push subscription: 16 bytes in base64url without padding.
    public let auth: String

    public var description: String { "PushKey(\(p256dh))" }

    init(_ key: SipWakeFFI.PushKey) {
        p256dh = key.p256dh
        auth = key.auth
    }
}

/// Says what a push means, without a client and without knowing who is logged in. If there is a client, use
/// ``SipWakeClient/push(_:channel:hints:)``.
///
/// It never throws. Any payload gives an action, and CallKit can show the action of any PushKit push.
public func readPush(_ payload: [AnyHashable: Any], channel: Channel, hints: PushHints = PushHints()) -> PushAction {
    readPush(json: json(payload), channel: channel, hints: hints)
}

/// The same for a payload that is JSON text.
public func readPush(json: Data, channel: Channel, hints: PushHints = PushHints()) -> PushAction {
    readPush(json: json, channel: channel, hints: hints, opening: nil)
}

/// Says what an encrypted push means. The app's own decryptor opens it first. This is for a Notification Service Extension, which has no
/// client.
public func readPush(
    _ payload: [AnyHashable: Any], channel: Channel, hints: PushHints = PushHints(), opening decryptor: any PayloadDecryptor
) -> PushAction {
    readPush(json: json(payload), channel: channel, hints: hints, opening: ForeignDecryptor(decryptor))
}

/// The same for a process without a client. The keys in the shared store open a sealed push, and the store says who logged out or does
/// not want to be disturbed. It only reads the store. A store that cannot be read silences nobody.
public func readPush(
    _ payload: [AnyHashable: Any], channel: Channel, hints: PushHints = PushHints(), opening decryptor: (any PayloadDecryptor)? = nil,
    heeding store: any StateStore
) -> PushAction {
    let action = try? parsePushBeside(
        payload: .json(bytes: json(payload)), channel: channel.foreign, hints: hints.foreign,
        decryptor: decryptor.map(ForeignDecryptor.init), store: ForeignStore(store))
    return action.map(PushAction.init) ?? .unknown(channel)
}

private func readPush(json: Data, channel: Channel, hints: PushHints, opening decryptor: ForeignDecryptor?) -> PushAction {
    let action = try? parsePush(payload: .json(bytes: json), channel: channel.foreign, hints: hints.foreign, decryptor: decryptor)
    return action.map(PushAction.init) ?? .unknown(channel)
}

extension PushHints {
    var foreign: SipWakeFFI.PushHints {
        let state: SipWakeFFI.AppState? =
            switch appState {
            case .foreground: .foreground
            case .background: .background
            case .notRunning: .notRunning
            case nil: nil
            }
        return SipWakeFFI.PushHints(mustReport: mustReport, appState: state)
    }
}

extension Channel {
    init(_ channel: SipWakeFFI.Channel) {
        switch channel {
        case .pushKit: self = .pushKit
        case .fcmIos, .fcmAndroid: self = .firebase
        case .apnsAlert, .webPush: self = .apnsAlert
        }
    }

    var foreign: SipWakeFFI.Channel {
        switch self {
        case .pushKit: .pushKit
        case .apnsAlert: .apnsAlert
        case .firebase: .fcmIos
        }
    }
}

extension PushKind {
    fileprivate init(_ kind: SipWakeFFI.PushKind) {
        switch kind {
        case .incomingCall(let video): self = .incomingCall(video: video)
        case .chat(let mimeType): self = .chat(mimeType: mimeType)
        case .cancel: self = .cancel
        case .custom(let ntype): self = .custom(ntype: ntype)
        case .refreshBinding: self = .refreshBinding
        case .ignore(let reason): self = .ignore(reason: IgnoreReason(reason))
        }
    }
}

extension IgnoreReason {
    fileprivate init(_ reason: SipWakeFFI.IgnoreReason) {
        switch reason {
        case .notUnderstood: self = .notUnderstood
        case .loggedOut: self = .loggedOut
        case .doNotDisturb: self = .doNotDisturb
        case .callOver: self = .callOver
        case .noRoom: self = .noRoom
        }
    }
}

extension PayloadProblem {
    init(_ problem: SipWakeFFI.PayloadProblem) {
        switch problem {
        case .empty: self = .empty
        case .unreadable: self = .unreadable
        case .tooLarge: self = .tooLarge
        case .unrecognised: self = .unrecognised
        case .notSealed: self = .notSealed
        case .sealedForeign: self = .sealedForeign
        case .sealedTorn: self = .sealedTorn
        case .sealedTooLarge: self = .sealedTooLarge
        case .sealedReplayed: self = .sealedReplayed
        case .sealedUnreadable: self = .sealedUnreadable
        case .sealedKeysUnreadable: self = .sealedKeysUnreadable
        }
    }
}

extension Vendor {
    fileprivate init(_ vendor: SipWakeFFI.Vendor) {
        switch vendor {
        case .mizutech: self = .mizutech
        case .flexisip: self = .flexisip
        case .portSip: self = .portSip
        case .acrobits: self = .acrobits
        case .twilio: self = .twilio
        case .telnyx: self = .telnyx
        case .vialer: self = .vialer
        case .other: self = .other
        }
    }
}

extension Duty {
    fileprivate init(_ duty: SipWakeFFI.Duty) {
        switch duty {
        case .reportCall: self = .reportCall
        case .reportThenEnd: self = .reportThenEnd
        case .showNotification: self = .showNotification
        case .startForegroundService, .nothing: self = .nothing
        }
    }
}
