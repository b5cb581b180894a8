package dev.sipwake

import java.time.Instant
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import dev.sipwake.ffi.CallPolicy as FfiPolicy
import dev.sipwake.ffi.CallRequest as FfiRequest
import dev.sipwake.ffi.CallTimes as FfiTimes
import dev.sipwake.ffi.Caller as FfiCaller
import dev.sipwake.ffi.HangUp as FfiHangUp
import dev.sipwake.ffi.Moment as FfiMoment
import dev.sipwake.ffi.RequestKind as FfiRequestKind
import dev.sipwake.ffi.SessionOffer as FfiSession

/**
 * The caller.
 *
 * @property uri the caller's URI or number, which may be empty
 * @property displayName the name to show
 */
public data class Caller(val uri: String, val displayName: String?)

/** How a call ended. */
public enum class EndReason {
    /** The caller gave up. */
    CANCELLED,

    /** Another device of the user answered (RFC 3326). */
    ANSWERED_ELSEWHERE,

    /** Another device of the user declined for all of them (RFC 3326). */
    DECLINED_ELSEWHERE,

    /** We declined. */
    DECLINED,

    /** The caller hung up. */
    HUNG_UP_BY_CALLER,

    /** We hung up. */
    HUNG_UP,

    /**
     * It failed. The status says why: 408 without an ACK or a refresh of the session, 481 if the caller no longer knows the call,
     * 504 without a PRACK, or the status that the app gave.
     */
    FAILED,

    /** The announced INVITE never came. */
    MISSED,

    /** It rang until its time limit. */
    UNANSWERED,

    /** The user logged out. */
    LOGGED_OUT,

    /** Anything else. */
    OTHER,
}

/** How a ringing call is declined. */
public enum class DeclineHow {
    /** 603: on all of the user's devices. */
    EVERYWHERE,

    /** 486: this device is busy, and others still ring. */
    BUSY,
}

/** A session description, an offer or an answer, as opaque bytes. `toString` does not show them, because they may hold keys. */
public class SessionDescription(
    /** For example `application/sdp`. */
    public val contentType: String,
    body: ByteArray,
) {
    private val bytes = body.copyOf()

    /** An SDP body (RFC 8866). */
    public constructor(sdp: String) : this("application/sdp", sdp.encodeToByteArray())

    /** A copy of the body. */
    public val body: ByteArray get() = bytes.copyOf()

    /** The body as text. */
    public val text: String get() = bytes.decodeToString()

    override fun toString(): String = "SessionDescription($contentType, ${bytes.size} bytes)"
    override fun equals(other: Any?): Boolean =
        other is SessionDescription && other.contentType == contentType && other.bytes.contentEquals(bytes)

    override fun hashCode(): Int = bytes.contentHashCode()

    internal fun toFfi() = FfiSession(contentType, bytes)
}

/**
 * A moment on two clocks.
 *
 * @property wall the time for a call log
 * @property sinceBoot the time on the clock that only goes forward, also while the device sleeps
 */
public data class Moment(val wall: Instant, val sinceBoot: Duration) {
    /** Returns the time from an earlier moment to this one, even if somebody changed the wall clock in between. */
    public operator fun minus(earlier: Moment): Duration = sinceBoot - earlier.sinceBoot
}

/**
 * The moments at which a call reached each of its stages so far.
 *
 * @property announced a push announced it
 * @property ringing its INVITE came
 * @property answered the user answered, and the 200 was sent
 * @property connected the caller's ACK came, and both sides may talk
 * @property ended it ended
 */
public data class CallTimes(
    val announced: Moment? = null,
    val ringing: Moment? = null,
    val answered: Moment? = null,
    val connected: Moment? = null,
    val ended: Moment? = null,
) {
    /** How long both sides could talk. Null for a call that never connected or is not over. */
    public val talked: Duration? get() = connected?.let { from -> ended?.let { it - from } }
}

/**
 * A caller's request to the app inside a call, by INFO (RFC 6086) or REFER (RFC 3515).
 *
 * @property id its id, for [SipWakeClient.respondRequest]
 * @property awaitsResponse whether it waits ten seconds for the app's response, as [SipWakeClient.takeCallRequests] says. Otherwise
 *   it was refused
 * @property kind the kind of request
 */
public data class CallRequest(val id: Long, val awaitsResponse: Boolean, val kind: RequestKind)

/** The kinds of a caller's requests to the app. */
public sealed interface RequestKind {
    /**
     * The caller dialled a digit. `toString` does not show it, because it may be part of a PIN.
     *
     * @property digit `0` to `9`, `A` to `D`, `*`, `#` or `!` (flash)
     * @property duration for how long, if the caller says so
     */
    public data class Digit(val digit: Char, val duration: Duration?) : RequestKind {
        override fun toString(): String = "Digit"
    }

    /**
     * Any other INFO.
     *
     * @property body its type and its bytes. The type is empty if there is no body
     * @property infoPackage its `Info-Package`
     */
    public data class Info(val body: SessionDescription, val infoPackage: String?) : RequestKind

    /**
     * The caller asks the app to call somebody else and leave this call (a transfer).
     *
     * @property to the URI to call, as in `Refer-To`
     * @property by the person who asks for it
     */
    public data class Refer(val to: String, val by: String?) : RequestKind

    /** Something that this version has no name for. */
    public data class Other(val description: String) : RequestKind
}

/** Why the app ends a call. */
public sealed interface HangUp {
    /** The user asked for it. */
    public data object Normal : HangUp

    /**
     * It cannot continue, for example with 488 for an offer that the media engine refuses.
     *
     * @property status a SIP status from 400 to 699. Any other number becomes 500
     */
    public data class Failed(val status: Int) : HangUp
}

/**
 * The app's settings for calls.
 *
 * @property window how long to wait for an announced INVITE. The payload can name a shorter time
 * @property ringLimit how long the phone rings at most. The INVITE's `Expires` can name a shorter time
 * @property midCallWakeups whether a registrar that gave a `pn-purr` can wake the app for requests inside the call (RFC 8599
 *   section 6)
 * @property sessionProgress whether a caller gets 183 first, and 180 when the app calls [SipWakeClient.ringing]. This is for an app
 *   that shows a call later
 * @property reconfirm whether to ask the user again if they answered a call before its INVITE came and the INVITE names a caller
 *   with another number. Then [SipWakeEvent.CallRinging] comes instead of [SipWakeEvent.CallAnswerWanted]
 */
public data class CallPolicy(
    val window: Duration = 40.seconds,
    val ringLimit: Duration = 180.seconds,
    val midCallWakeups: Boolean = false,
    val sessionProgress: Boolean = false,
    val reconfirm: Boolean = false,
) {
    internal fun toFfi() =
        FfiPolicy(milliseconds(window), milliseconds(ringLimit), midCallWakeups, sessionProgress, reconfirm)
}

private fun milliseconds(duration: Duration): ULong = duration.inWholeMilliseconds.coerceAtLeast(0).toULong()

internal fun HangUp.toFfi(): FfiHangUp = when (this) {
    HangUp.Normal -> FfiHangUp.Normal
    is HangUp.Failed -> FfiHangUp.Failed(statusOf(status))
}

internal fun FfiCaller.toCaller() = Caller(uri, displayName)

internal fun FfiSession.toSession() = SessionDescription(contentType, body)

internal fun FfiRequest.toRequest() = CallRequest(
    id.toLong(),
    awaitsResponse,
    when (val kind = kind) {
        is FfiRequestKind.Digit -> RequestKind.Digit(kind.digit.first(), kind.durationMs?.toLong()?.milliseconds)
        is FfiRequestKind.Info -> RequestKind.Info(SessionDescription(kind.contentType, kind.body), kind.`package`)
        is FfiRequestKind.Refer -> RequestKind.Refer(kind.to, kind.`by`)
        is FfiRequestKind.Other -> RequestKind.Other(kind.description)
    },
)

internal fun FfiTimes.toTimes() = CallTimes(
    announced?.toMoment(),
    ringing?.toMoment(),
    answered?.toMoment(),
    connected?.toMoment(),
    ended?.toMoment(),
)

private fun FfiMoment.toMoment() = Moment(Instant.ofEpochMilli(wallMs.toLong()), bootMs.toLong().milliseconds)
