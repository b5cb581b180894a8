package dev.sipwake.android

import android.app.Activity
import dev.sipwake.SessionDescription
import java.util.UUID

/**
 * What a [SipWakePhone] shows.
 *
 * @property icon the small icon of its notifications, a resource
 * @property callScreen the activity that shows a call; [SipWakeCallActivity] or one of the app's own
 * @property openApp what a tap on a missed call or a message opens; without it, the call screen
 * @property words the texts
 * @property telecom whether calls are in Android's Telecom, on headsets and in cars; needs [SipWakeConnectionService] in the manifest
 * @property jobId the id of the job that finishes what the process could not; it must differ from the ids of the app's own jobs
 * @property announcer is told about each call first; for an app that puts its calls into Telecom in another way, such as Jetpack's
 *   core-telecom
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

/** The texts that users see, to be translated by the app. The phone's settings show the channels' names. */
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

/** Is told about each incoming call. */
public fun interface CallAnnouncer {
    /**
     * A call is about to be shown: its foreground service starts, or its notification is posted, when this returns. Called from any thread,
     * once a call; must not wait. If it throws, there is a [Refusal.TELECOM].
     */
    public fun announce(call: PhoneCall)
}

/** The app's media engine, as far as calls need one. */
public fun interface CallMedia {
    /**
     * Returns our session description: the answer to the caller's offer or, if there is none, our offer. Asked for when the user answers
     * and for new media during the call. If it throws, the call ends with 488, or the new media is refused.
     */
    public suspend fun describe(call: UUID, offer: SessionDescription?): SessionDescription
}

/** What the platform refused. */
public enum class Refusal {
    /** No client could be made: an account or option that cannot be used. */
    CLIENT,

    /** A foreground service may not start now. */
    SERVICE_START,

    /** The foreground service may not have this type: a permission is missing, or the app is not visible. */
    SERVICE_TYPE,

    /** A notification was not taken. */
    NOTIFICATION,

    /** Telecom did not take the call. It rings without headsets and cars. */
    TELECOM,

    /** Android refused the job for the rest of the work. */
    JOB,

    /** The processor cannot be kept awake: the permission `WAKE_LOCK` is missing. */
    WAKE_LOCK,

    /** Firebase gives no token. */
    TOKEN,

    /** The server grants an account that wakes itself less than a day: a sleeping phone may be too late for the next refresh. */
    SHORT_BINDING,

    /** Code failed that nothing waits for: the app's or the SDK's. */
    FAULT,
}

/**
 * A refusal of the platform. The call continues as far as possible.
 *
 * @property what what was refused
 * @property reason in the platform's words
 */
public class PlatformRefusal internal constructor(public val what: Refusal, public val reason: String) {
    override fun toString(): String = "$what: $reason"
}
