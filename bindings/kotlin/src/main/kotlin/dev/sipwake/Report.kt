package dev.sipwake

import dev.sipwake.ffi.Network as FfiNetwork
import dev.sipwake.ffi.Obstacle as FfiObstacle
import dev.sipwake.ffi.PhoneState as FfiPhoneState
import dev.sipwake.ffi.Priority as FfiPriority
import dev.sipwake.ffi.StandbyBucket as FfiStandbyBucket

/** Something in the phone's settings that keeps a call from ringing. */
public enum class Obstacle {
    /** No notification of this app is shown. */
    NOTIFICATIONS_OFF,

    /** Android: the channel of incoming calls is off, or too quiet to ring. */
    CHANNEL_OFF,

    /** Android: an incoming call shows as a small notification only. */
    NO_FULL_SCREEN,

    /** Android: there are no Google Play services. */
    NO_PLAY_SERVICES,

    /** Android: Google Play services are too old. */
    OLD_PLAY_SERVICES,

    /** Android: the user restricted the app's battery use. */
    BACKGROUND_RESTRICTED,

    /** Android: the app is in the restricted standby bucket. */
    RARELY_USED,

    /** Android: Data Saver is on, and the app is not exempt. */
    DATA_SAVER,

    /** Android: the system will take away the app's permissions and stop its messages. */
    HIBERNATION,

    /** The app may not reach servers in the local network. */
    NO_LOCAL_NETWORK,

    /** Android: this phone's maker stops apps in the background. */
    MAKER_STOPS_APPS,

    /** Android: after a restart of the phone, log-outs wait until the user opens the app. */
    NOT_AFTER_RESTART,

    /** Android: the app is subject to Doze. */
    SUBJECT_TO_DOZE,

    /** Android: the last push that was sent with high priority came with normal one. */
    DEPRIORITISED,

    /** Do not disturb, or a Focus, silences calls. */
    DO_NOT_DISTURB,

    /** iOS: background refresh is off for the app. */
    BACKGROUND_REFRESH_OFF,

    /** The battery saver is on. */
    LOW_POWER,

    /** The app may not use the microphone. */
    NO_MICROPHONE,

    /** iOS: notifications of this app make no sound. */
    NOTIFICATIONS_SILENT,

    /** iOS: the app lacks the background mode `voip`, or CallKit says that it is not entitled to show calls. */
    NOT_ENTITLED,

    /** iOS: the app's provisioning profile allows no pushes. */
    NO_PUSH_ENTITLEMENT,

    /** iOS: the app's tokens belong to another environment than the app tells the server. */
    WRONG_PUSH_ENVIRONMENT,

    /** iOS: the phone's block list hid the last call. */
    CALLER_BLOCKED,

    /** Something else. */
    OTHER,
}

/** Android's standby buckets. */
public enum class StandbyBucket {
    /** The app is in use. */
    ACTIVE,

    /** It is used every day. */
    WORKING_SET,

    /** It is used often. */
    FREQUENT,

    /** It is seldom used. */
    RARE,

    /** It may hardly run. */
    RESTRICTED,
}

/** How a phone is connected. */
public enum class PhoneNetwork {
    /** Not at all. */
    NONE,

    /** By a mobile network. */
    MOBILE,

    /** By Wi-Fi. */
    WI_FI,

    /** By a cable. */
    ETHERNET,

    /** Through a VPN. */
    VPN,

    /** In another way. */
    OTHER,
}

/**
 * What the app knows about its phone, for [SipWakeClient.report]. Leave out what you do not know.
 *
 * @property obstacles the phone's settings that keep a call from ringing
 * @property bucket `UsageStatsManager.getAppStandbyBucket`
 * @property network how the phone is connected
 * @property priority the last push's priority as it was delivered, `RemoteMessage.getPriority()`
 */
public data class PhoneState(
    val obstacles: List<Obstacle> = emptyList(),
    val bucket: StandbyBucket? = null,
    val network: PhoneNetwork? = null,
    val priority: Priority? = null,
) {
    internal fun toFfi() = FfiPhoneState(
        obstacles = obstacles.map { it.named<FfiObstacle>() },
        bucket = bucket?.named<FfiStandbyBucket>(),
        network = network?.named<FfiNetwork>(),
        priority = priority?.named<FfiPriority>(),
    )
}
