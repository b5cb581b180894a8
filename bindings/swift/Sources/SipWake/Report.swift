// What the app knows about its phone, for a report of why it rang or did not.

import SipWakeFFI

/// Something in the phone's settings that keeps a call from ringing.
public enum Obstacle: Hashable, Sendable {
    /// No notification of this app is shown.
    case notificationsOff
    /// Android: the channel of incoming calls is off, or too quiet to ring.
    case channelOff
    /// Android: an incoming call shows as a small notification only.
    case noFullScreen
    /// Android: there are no Google Play services.
    case noPlayServices
    /// Android: Google Play services are too old.
    case oldPlayServices
    /// Android: the user restricted the app's battery use.
    case backgroundRestricted
    /// Android: the app is in the restricted standby bucket.
    case rarelyUsed
    /// Android: Data Saver is on, and the app is not exempt.
    case dataSaver
    /// Android: the app's permissions will be taken away, and its messages stopped.
    case hibernation
    /// The app may not reach servers in the local network.
    case noLocalNetwork
    /// Android: this phone's maker stops apps in the background.
    case makerStopsApps
    /// Android: after a restart of the phone, log-outs wait until the app is opened.
    case notAfterRestart
    /// Android: the app is subject to Doze.
    case subjectToDoze
    /// Do not disturb, or a Focus, silences calls.
    case doNotDisturb
    /// iOS: background refresh is off for the app.
    case backgroundRefreshOff
    /// The battery saver is on.
    case lowPower
    /// The app may not use the microphone.
    case noMicrophone
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
    /// What in the phone's settings keeps a call from ringing.
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
        case .channelOff: .channelOff
        case .noFullScreen: .noFullScreen
        case .noPlayServices: .noPlayServices
        case .oldPlayServices: .oldPlayServices
        case .backgroundRestricted: .backgroundRestricted
        case .rarelyUsed: .rarelyUsed
        case .dataSaver: .dataSaver
        case .hibernation: .hibernation
        case .noLocalNetwork: .noLocalNetwork
        case .makerStopsApps: .makerStopsApps
        case .notAfterRestart: .notAfterRestart
        case .subjectToDoze: .subjectToDoze
        case .doNotDisturb: .doNotDisturb
        case .backgroundRefreshOff: .backgroundRefreshOff
        case .lowPower: .lowPower
        case .noMicrophone: .noMicrophone
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
