package dev.sipwake.android

import android.app.Activity
import dev.sipwake.SessionDescription
import java.util.UUID

/**
 * The settings of a [SipWakePhone].
 *
 * @property icon the small icon of its notifications, a resource
 * @property callScreen the activity that shows a call: [SipWakeCallActivity] or one of the app's own
 * @property openApp the activity that a tap on a missed call or a message opens. Without it, the tap opens the call screen
 * @property words the texts
 * @property telecom whether calls are in Android's Telecom, on headsets and in cars. This needs [SipWakeConnectionService] in the
 *   manifest
 * @property jobId the id of the job that finishes what the process could not finish. No other job of the app may have it
 * @property announcer learns about each call first. It is for an app that puts its calls into Telecom in another way, such as
 *   Jetpack's core-telecom
 */
public class PhoneSettings @JvmOverloads constructor(
    public val icon: Int,
    public val callScreen: Class<out Activity> = SipWakeCallActivity::class.java,
    public val openApp: Class<out Activity>? = null,
    public val words: PhoneWords = PhoneWords(),
    public val telecom: Boolean = false,
    public val jobId: Int = 0x51B,
    public val announcer: CallAnnouncer? = null,
)

/** The texts that users see. Apps translate them. The phone's settings show the channels' names. */
public class PhoneWords @JvmOverloads constructor(
    public val unknownCaller: CharSequence = "Unknown caller",
    public val answer: CharSequence = "Answer",
    public val decline: CharSequence = "Decline",
    public val hangUp: CharSequence = "Hang up",
    public val incomingCalls: CharSequence = "Incoming calls",
    public val currentCall: CharSequence = "Current call",
    public val missedCalls: CharSequence = "Missed calls",
    public val missedCall: CharSequence = "Missed call",
    public val messages: CharSequence = "Messages",
    public val newMessage: CharSequence = "New message",
    public val connection: CharSequence = "Connection",
    public val connecting: CharSequence = "Connecting",
)

/** Learns about each incoming call. */
public fun interface CallAnnouncer {
    /**
     * Called before a call is shown. When this returns, its foreground service starts, or its notification is posted. It is called
     * once for each call, from any thread, and must not wait. If it throws, there is a [Refusal.TELECOM].
     */
    public fun announce(call: PhoneCall)
}

/** The app's media engine, as far as calls need one. */
public fun interface CallMedia {
    /**
     * Returns our session description: the answer to the caller's offer or, if there is none, our offer. It is called when the user
     * answers, and for new media during the call. If it throws, the call ends with 488, or the new media is refused.
     */
    public suspend fun describe(call: UUID, offer: SessionDescription?): SessionDescription
}

/** The things that the platform can refuse. */
public enum class Refusal {
    /** No client could be made, because an account or option cannot be used. */
    CLIENT,

    /** A foreground service may not start now. */
    SERVICE_START,

    /** The foreground service may not have this type, because a permission is missing or the app is not visible. */
    SERVICE_TYPE,

    /** The platform did not take a notification. */
    NOTIFICATION,

    /** Telecom did not take the call. It rings without headsets and cars. */
    TELECOM,

    /** Android refused the job for the rest of the work. */
    JOB,

    /** The processor cannot be kept awake, because the permission `WAKE_LOCK` is missing. */
    WAKE_LOCK,

    /** Firebase gives no token. */
    TOKEN,

    /** The server grants less than a day to an account that wakes itself. A sleeping phone may be too late for the next refresh. */
    SHORT_BINDING,

    /** Code of the app or the SDK failed while nothing waited for it. */
    FAULT,
}

/**
 * A refusal of the platform. The call continues as far as possible.
 *
 * @property what the kind of refusal
 * @property reason in the platform's words
 */
public class PlatformRefusal internal constructor(public val what: Refusal, public val reason: String) {
    override fun toString(): String = "$what: $reason"
}
