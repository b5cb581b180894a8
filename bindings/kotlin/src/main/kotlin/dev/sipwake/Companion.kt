package dev.sipwake

import java.util.UUID
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import dev.sipwake.ffi.CompanionAnswer as FfiAnswer
import dev.sipwake.ffi.CompanionInvite as FfiInvite
import dev.sipwake.ffi.CompanionNext as FfiNext
import dev.sipwake.ffi.CompanionRegister as FfiRegister
import dev.sipwake.ffi.NamedValue
import dev.sipwake.ffi.PendingLogOut as FfiPending
import dev.sipwake.ffi.RegisterResponse as FfiResponse

/**
 * The app's SIP stack, with the functions that a [SipWakeCompanion] calls. They are called on a thread of their own, one after the
 * other. Do long work elsewhere. If one throws, there is a [SipWakeEvent.ListenerFailed].
 */
public interface CompanionStack {
    /** Registers this account now, with the tags from [SipWakeCompanion.registerTags], even if the stack believes that it is registered. */
    public fun register(companion: SipWakeCompanion, account: AccountId)

    /** Accepts the INVITE of this call, which the user has answered, and calls [SipWakeCompanion.answered]. */
    public fun accept(companion: SipWakeCompanion, call: UUID)

    /** Responds with this status to each INVITE of this call that the stack holds, because the user refused it or the caller gave up. */
    public fun refuse(companion: SipWakeCompanion, call: UUID, status: Int)

    /** Ends this call, which was answered, and calls [SipWakeCompanion.ended]. */
    public fun hangUp(companion: SipWakeCompanion, call: UUID)
}

/**
 * The parts of another stack's next REGISTER that matter for push. Everything else is up to that stack. `toString` shows no token.
 *
 * @property number its number, for [SipWakeCompanion.heard] and [SipWakeCompanion.sent]
 * @property tags the tags to add. Leave out everything that an earlier REGISTER carried and this one does not name
 * @property contact the whole Contact URI, if it is known. In a removal it is the one that was bound
 * @property removed former Contact URIs of this device. Add each with `;expires=0`
 * @property expires the value of `Expires`. Zero removes the binding
 * @property requestUri the Request-URI
 * @property digestUri the `uri` for the digest, if it is not the Request-URI (`X-Sy.AuthURI`)
 * @property gateway where to send it: a SIP URI or a WebSocket address
 */
public data class CompanionRegister(
    val number: Long,
    val account: AccountId,
    val tags: RegisterTags,
    val contact: String?,
    val removed: List<String>,
    val expires: Duration,
    val requestUri: String,
    val digestUri: String?,
    val gateway: String,
) {
    /** Whether it removes the registration. */
    val removes: Boolean get() = expires == Duration.ZERO

    override fun toString(): String =
        "CompanionRegister($number, $account, $tags, removed=${removed.size}, expires=$expires, requestUri=$requestUri, gateway=$gateway)"
}

/**
 * A response to a REGISTER, as the other stack shows it. Pass on everything that the stack shows. With [register], or with Call-ID
 * and CSeq, the companion can tell responses apart that come out of order. `toString` shows no header, because a Contact holds a
 * token.
 *
 * @property status the status. 408 if no response came
 * @property headers the header fields as they were printed: in any case, folded or not, lists in one line or in several
 * @property phrase the reason phrase. It is empty if the stack hides it
 * @property register the [CompanionRegister.number] of the REGISTER, if the app knows it
 * @property callId the Call-ID of the REGISTER, if it is not among the headers
 * @property cseq the number of its CSeq, if it is not among the headers
 */
public data class RegisterResponse(
    val status: Int,
    val headers: List<Pair<String, String>> = emptyList(),
    val phrase: String = "",
    val register: Long? = null,
    val callId: String? = null,
    val cseq: Long? = null,
) {
    override fun toString(): String = "RegisterResponse($status, ${headers.size} headers, register=$register)"

    internal fun toFfi() =
        FfiResponse(statusOf(status), phrase, named(headers), register?.toULong(), callId, cseq?.coerceIn(0, UInt.MAX_VALUE.toLong())?.toUInt())
}

/** The next step after a response to a REGISTER. More kinds may come: give a `when` an `else`. */
public sealed interface CompanionNext {
    /** Nothing, until [CompanionStack.register]. */
    public data object Nothing : CompanionNext

    /**
     * Take the tags and register at once. The REGISTER leaves out what the server refused, asks for a longer lifetime, goes to a
     * redirect's target, or removes what is left.
     */
    public data object Again : CompanionNext

    /**
     * Answer the challenge.
     *
     * @property changed the tags have changed, so take them again
     * @property digestUri the `uri` for the digest, if it is not the Request-URI
     */
    public data class Authenticate(val changed: Boolean, val digestUri: String?) : CompanionNext

    /**
     * It failed. [CompanionStack.register] is called when it is time to try again.
     *
     * @property kind the kind of failure, to branch on
     * @property status the response's status, if that says why
     * @property reason in words
     * @property retryIn the time until the next attempt. If it is null, there is none before the app changes something
     */
    public data class Wait(val kind: FailureKind, val status: Int?, val reason: String, val retryIn: Duration?) : CompanionNext

    /**
     * The log-out is over.
     *
     * @property removed what the server's response proves
     */
    public data class LoggedOut(val removed: Removed) : CompanionNext

    /** The response belongs to an earlier REGISTER, and says nothing about the current one. */
    public data object Old : CompanionNext

    /** Something that this version has no name for. */
    public data class Other(val description: String) : CompanionNext
}

/**
 * The meaning of a response to a REGISTER.
 *
 * @property next the next step
 * @property verdict the verdict on push, for a 2xx
 * @property expires how long the binding lives
 * @property refreshIn when [CompanionStack.register] asks for the next REGISTER
 */
public data class CompanionAnswer(
    val next: CompanionNext,
    val verdict: Verdict?,
    val expires: Duration?,
    val refreshIn: Duration?,
)

/** The ways in which the other stack treats an INVITE. */
public sealed interface CompanionInvite {
    /**
     * It rings.
     *
     * @property call its UUID. If a push announced the call, the push has the same UUID
     * @property again another INVITE of this call rings already. Show no second screen. The user answers only one of them
     */
    public data class Ring(val call: UUID, val again: Boolean) : CompanionInvite

    /** The user answered before the INVITE came. Accept it without asking again, and call [SipWakeCompanion.answered]. */
    public data class Accept(val call: UUID) : CompanionInvite

    /**
     * It does not ring. Respond to it with this status.
     *
     * @property call the call, which is over or answered already. Null if nobody here is called
     */
    public data class Refuse(val call: UUID?, val status: Int) : CompanionInvite
}

/**
 * A log-out that no response has proven or accepted. The other stack must still send what [SipWakeCompanion.registerTags] says.
 *
 * @property account its id in the companion
 * @property aor the address of record
 * @property authUser the user name for the digest
 * @property credentials the password or, in a later process, HA1 for each realm that has asked. That is enough for stacks that take
 *   HA1
 */
public data class PendingLogOut(val account: AccountId, val aor: String, val authUser: String, val credentials: Credentials)

internal fun statusOf(status: Int): UShort = status.coerceIn(0, UShort.MAX_VALUE.toInt()).toUShort()

internal fun named(headers: List<Pair<String, String>>): List<NamedValue> = headers.map { (name, value) -> NamedValue(name, value) }

internal fun FfiRegister.toRegister() = CompanionRegister(
    number.toLong(), AccountId(account), tags.toTags(), contact, removed, expiresSeconds.toLong().seconds, requestUri, digestUri, gateway,
)

internal fun FfiAnswer.toAnswer() = CompanionAnswer(
    when (val next = next) {
        FfiNext.Nothing -> CompanionNext.Nothing
        FfiNext.Again -> CompanionNext.Again
        is FfiNext.Authenticate -> CompanionNext.Authenticate(next.changed, next.digestUri)
        is FfiNext.Wait ->
            CompanionNext.Wait(next.kind.named(), next.status?.toInt(), next.reason, next.retryInMs?.toLong()?.milliseconds)
        is FfiNext.LoggedOut -> CompanionNext.LoggedOut(next.removed.named())
        FfiNext.Old -> CompanionNext.Old
        is FfiNext.Other -> CompanionNext.Other(next.description)
    },
    verdict?.toVerdict(),
    expiresMs?.toLong()?.milliseconds,
    refreshInMs?.toLong()?.milliseconds,
)

internal fun FfiInvite.toInvite(): CompanionInvite = when (this) {
    is FfiInvite.Ring -> CompanionInvite.Ring(UUID.fromString(call), again)
    is FfiInvite.Accept -> CompanionInvite.Accept(UUID.fromString(call))
    is FfiInvite.Refuse -> CompanionInvite.Refuse(call?.let(UUID::fromString), status.toInt())
}

internal fun FfiPending.toPending() = PendingLogOut(AccountId(account), aor, authUser, credentials.toCredentials())
