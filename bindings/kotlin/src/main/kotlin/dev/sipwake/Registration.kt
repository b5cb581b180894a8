package dev.sipwake

import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import dev.sipwake.ffi.Registration as FfiRegistration
import dev.sipwake.ffi.Verdict as FfiVerdict

/**
 * A registrar's response to a REGISTER. `toString` shows no token.
 *
 * @property expires how long the binding lives
 * @property verdict what the server says about push
 * @property token the token that calls are pushed to
 * @property alertToken the token that alerts are pushed to (iOS)
 * @property observedAddress our address and port as the server saw them (RFC 3581)
 * @property suspiciousServer the server's proof of the password is wrong. Somebody may be between the phone and the server
 * @property serviceRoute the routes that the registrar gives for requests outside of dialogs, in order (RFC 3608)
 */
public data class Registration(
    val expires: Duration,
    val verdict: Verdict,
    val token: String?,
    val alertToken: String?,
    val observedAddress: String?,
    val suspiciousServer: Boolean,
    val serviceRoute: List<String> = emptyList(),
) {
    override fun toString(): String =
        "Registration(expires=$expires, verdict=$verdict, token=${token?.let { "…" }}, observedAddress=$observedAddress, " +
            "suspiciousServer=$suspiciousServer)"
}

/** Whether the app can count on pushes. */
public enum class Standing {
    /** The server said that it will push. */
    CONFIRMED,

    /** The server accepted the REGISTER and said nothing about push. Many servers that push never say so. */
    UNCONFIRMED,

    /** The server said that it will not push. */
    REFUSED,

    /** The REGISTER did not ask for push. */
    NOT_ASKED,
}

/**
 * The verdict on push: what a response says about it.
 *
 * @property standing whether the app can count on pushes
 * @property reason why, in words
 * @property advice what a developer can do about it. It is empty if there is nothing to do
 * @property vapid the server's VAPID key, for web push (RFC 8292)
 * @property refreshLead how long before expiry an app that wakes itself must refresh at the latest (`+sip.pnsreg`)
 * @property purr the value for `pn-purr` in the Contact of answered calls (`+sip.pnspurr`)
 * @property lifetimeUnknown the server does not say how long the binding lasts. The client refreshes it as if it were the shortest
 *   time that the response allows
 * @property piidWithheld `X-PIID` was left out because others can read the transport
 * @property piidInTheClear `X-PIID` went over a transport that others can read, as the app allowed
 */
public data class Verdict(
    val standing: Standing,
    val reason: String,
    val advice: String = "",
    val vapid: String? = null,
    val refreshLead: Duration? = null,
    val purr: String? = null,
    val piidWithheld: Boolean = false,
    val piidInTheClear: Boolean = false,
    val lifetimeUnknown: Boolean = false,
)

/** Why a registration failed, coarsely. */
public enum class FailureKind {
    /** The server refused the user name or password. Nothing is sent until the credentials change. */
    WRONG_CREDENTIALS,

    /** No response to the server's challenge is possible. */
    UNANSWERABLE_CHALLENGE,

    /** The server refuses this account. Nothing is sent until the app asks again. */
    REFUSED,

    /** The server responded with an error. Another attempt later may work. */
    ANSWERED,

    /** No response in time. */
    TIMED_OUT,

    /** No connection to the server, or it broke. */
    UNREACHABLE,

    /** The server's certificate was refused. The reason says why. */
    CERTIFICATE,

    /** The server redirects or challenges the request in a loop. */
    CIRCLES,

    /** Any other reason. */
    OTHER,
}

internal fun FfiRegistration.toRegistration() = Registration(
    expiresMs.toLong().milliseconds,
    verdict.toVerdict(),
    token,
    alertToken,
    observedAddress,
    suspiciousServer,
    serviceRoute,
)

internal fun FfiVerdict.toVerdict() = Verdict(
    standing.named(),
    reason,
    advice,
    vapid,
    refreshLeadSeconds?.toLong()?.seconds,
    purr,
    piidWithheld,
    piidInTheClear,
    lifetimeUnknown,
)
