// The app's knowledge about its phone, for a report of why it rang or did not.

import SipWakeFFI

/// Something in the phone's settings that keeps a call from ringing.
public enum Obstacle: Hashable, Sendable, CaseIterable {
    /// No notification of this app is shown.
    case notificationsOff
    /// The app may not reach servers in the local network.
    case noLocalNetwork
    /// Do not disturb, or a Focus, silences calls.
    case doNotDisturb
    /// Background refresh is off for the app.
    case backgroundRefreshOff
    /// The battery saver is on.
    case lowPower
    /// The app may not use the microphone.
    case noMicrophone
    /// Notifications of this app make no sound.
    case notificationsSilent
    /// The app lacks the background mode `voip`, or CallKit says that it is not entitled to show calls.
    case notEntitled
    /// The app's provisioning profile allows no pushes.
    case noPushEntitlement
    /// The app's tokens belong to another environment than the app tells the server.
    case wrongPushEnvironment
    /// The phone's block list hid the last call.
    case callerBlocked
    /// Something else.
    case other
}

/// How a phone is connected.
public enum PhoneNetwork: Hashable, Sendable {
    /// Not at all.
    case none
    /// By a mobile network.
    case mobile
    /// By Wi-Fi.
    case wiFi
    /// By a cable.
    case ethernet
    /// Through a VPN.
    case vpn
    /// In another way.
    case other
}

/// What the app knows about its phone, for ``SipWakeClient/report(_:)``. Leave out what you do not know.
public struct PhoneState: Hashable, Sendable {
    /// The phone's settings that keep a call from ringing.
    public var obstacles: [Obstacle]
    /// How the phone is connected.
    public var network: PhoneNetwork?
    /// Whether the last push had to be reported (`PKVoIPPushMetadata.mustReport`).
    public var mustReport: Bool?

    public init(obstacles: [Obstacle] = [], network: PhoneNetwork? = nil, mustReport: Bool? = nil) {
        self.obstacles = obstacles
        self.network = network
        self.mustReport = mustReport
    }

    var ffi: SipWakeFFI.PhoneState {
        SipWakeFFI.PhoneState(obstacles: obstacles.map(\.ffi), network: network?.ffi, mustReport: mustReport)
    }
}

extension Obstacle {
    var ffi: SipWakeFFI.Obstacle {
        switch self {
        case .notificationsOff: .notificationsOff
        case .noLocalNetwork: .noLocalNetwork
        case .doNotDisturb: .doNotDisturb
        case .backgroundRefreshOff: .backgroundRefreshOff
        case .lowPower: .lowPower
        case .noMicrophone: .noMicrophone
        case .notificationsSilent: .notificationsSilent
        case .notEntitled: .notEntitled
        case .noPushEntitlement: .noPushEntitlement
        case .wrongPushEnvironment: .wrongPushEnvironment
        case .callerBlocked: .callerBlocked
        case .other: .other
        }
    }
}

extension PhoneNetwork {
    var ffi: SipWakeFFI.Network {
        switch self {
        case .none: .none
        case .mobile: .mobile
        case .wiFi: .wiFi
        case .ethernet: .ethernet
        case .vpn: .vpn
        case .other: .other
        }
    }
}
