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
 * The app's SIP stack, as far as a [SipWakeCompanion] asks it for something. Called on a thread made for it, one after the other: do what
 * takes long elsewhere. What it throws becomes [SipWakeEvent.ListenerFailed].
 */
public interface CompanionStack {
    /** Registers this account now, with what [SipWakeCompanion.registerTags] says, also where it thinks that it is registered. */
    public fun register(companion: SipWakeCompanion, account: AccountId)

    /** Accepts the INVITE of this call, which the user has answered, and says [SipWakeCompanion.answered]. */
    public fun accept(companion: SipWakeCompanion, call: UUID)

    /** Answers each INVITE of this call that it holds with this status: the user does not want it, or its caller gave up. */
    public fun refuse(companion: SipWakeCompanion, call: UUID, status: Int)

    /** Ends this call, which was answered, and says [SipWakeCompanion.ended]. */
    public fun hangUp(companion: SipWakeCompanion, call: UUID)
}

/**
 * What the next REGISTER of another stack must say. All that is not in here is that stack's own. `toString` shows no token.
 *
 * @property number by which [SipWakeCompanion.heard] and [SipWakeCompanion.sent] name it
 * @property tags what is added; what an earlier REGISTER carried and this one does not, must not be in it
 * @property contact the whole Contact URI, where it is known: in a removal it is the one that was bound
 * @property removed Contact URIs that go beside it, each with `;expires=0`: this device's, from before
 * @property expires the value of `Expires`: zero removes
 * @property requestUri the Request-URI
 * @property digestUri the `uri` of the digest answer, where it is not the Request-URI (`X-Sy.AuthURI`)
 * @property gateway where it goes: a SIP URI or a WebSocket address
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
    /** Whether it takes the registration away. */
    val removes: Boolean get() = expires == Duration.ZERO

    override fun toString(): String =
        "CompanionRegister($number, $account, $tags, removed=${removed.size}, expires=$expires, requestUri=$requestUri, gateway=$gateway)"
}

/**
 * A response to a REGISTER, as the other stack shows it. Give what it shows: with [register], or with Call-ID and CSeq, answers out of
 * order are told apart. `toString` shows no header, since a Contact holds a token.
 *
 * @property status the status; 408 where no response came
 * @property headers the header fields as they were printed: in any case, folded or not, lists in one line or in several
 * @property phrase the reason phrase; empty where the stack hides it
 * @property register the [CompanionRegister.number] of what it answers, where the app knows
 * @property callId the Call-ID of the REGISTER, where it is not among the headers
 * @property cseq the number of its CSeq, likewise
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

/** What follows from a response to a REGISTER. More kinds may come: give a `when` an `else`. */
public sealed interface CompanionNext {
    /** Nothing, until [CompanionStack.register]. */
    public data object Nothing : CompanionNext

    /** Take the tags and register at once: without what the server refused, for longer, to where it redirects, or what remains. */
    public data object Again : CompanionNext

    /**
     * Answer the challenge.
     *
     * @property changed the tags have changed: take them again
     * @property digestUri the `uri` of the digest answer, where it is not the Request-URI
     */
    public data class Authenticate(val changed: Boolean, val digestUri: String?) : CompanionNext

    /**
     * It failed; [CompanionStack.register] comes when it is to be tried again.
     *
     * @property kind what to branch on
     * @property status the response's status, if that says why
     * @property reason in words
     * @property retryIn when it is tried again; absent: not before the app changes something
     */
    public data class Wait(val kind: FailureKind, val status: Int?, val reason: String, val retryIn: Duration?) : CompanionNext

    /**
     * The log-out is over.
     *
     * @property removed what the server's answer proves
     */
    public data class LoggedOut(val removed: Removed) : CompanionNext

    /** It answers an earlier REGISTER, and says nothing about the one that is waited for. */
    public data object Old : CompanionNext

    /** Something that this version has no name for. */
    public data class Other(val description: String) : CompanionNext
}

/**
 * What a response to a REGISTER means.
 *
 * @property next what to do
 * @property verdict what a 2xx says about push
 * @property expires how long the binding lives
 * @property refreshIn when [CompanionStack.register] asks for the next REGISTER
 */
public data class CompanionAnswer(
    val next: CompanionNext,
    val verdict: Verdict?,
    val expires: Duration?,
    val refreshIn: Duration?,
)

/** What the other stack does with an INVITE. */
public sealed interface CompanionInvite {
    /**
     * It rings.
     *
     * @property call its name, which its push has if one came
     * @property again another INVITE of this call rings already: no second screen, and one of them is answered
     */
    public data class Ring(val call: UUID, val again: Boolean) : CompanionInvite

    /** The user answered before it came: accept it, without a further question, and say [SipWakeCompanion.answered]. */
    public data class Accept(val call: UUID) : CompanionInvite

    /**
     * It does not ring: answer it with this status.
     *
     * @property call the call, which is over or answered already; null where nobody is called here
     */
    public data class Refuse(val call: UUID?, val status: Int) : CompanionInvite
}

/**
 * A log-out that no answer has proven or accepted: the other stack still has to send what [SipWakeCompanion.registerTags] says.
 *
 * @property account by which the companion knows it
 * @property aor the address of record
 * @property authUser the user name of the digest answer
 * @property credentials the password or, in a later process, HA1 for each realm that has asked: enough for stacks that take HA1
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
