package dev.sipwake

import java.util.UUID
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import dev.sipwake.ffi.CallChange as FfiCallChange
import dev.sipwake.ffi.Event as FfiEvent

/** Something on the network was refused, or may be forged. */
public enum class WarningKind {
    /** A redirect names a host that the app did not configure for its secrets. Nothing was sent there. */
    REDIRECT_REFUSED,

    /** `X-Sy.AuthURI` names neither the registrar nor the upper server. It is not used. */
    AUTH_URI_REFUSED,

    /** A server asks for another realm than before, over a transport without TLS. The client responded to it. */
    REALM_CHANGED,

    /** The server asks for another realm than the one that `X-PIID` is pinned to. The pinned one stays. */
    PINNED_REALM_CHANGED,

    /** Somebody inside a call asks for credentials. They got none. */
    CALL_CHALLENGE_REFUSED,

    /** The server's proof that it knows the password is wrong. */
    SERVER_PROOF_WRONG,

    /** Anything else. */
    OTHER,
}

/** Why something from the network was dropped. */
public enum class DiscardReason {
    /** Not a SIP message. */
    MALFORMED,

    /** A response that none of our requests waits for. */
    FOREIGN_RESPONSE,

    /** A request that we cannot respond to. */
    STRAY_REQUEST,

    /** It came from a flow that is closed. */
    DEAD_FLOW,

    /** Too many calls at once. */
    TOO_MANY_CALLS,

    /** A cancel push that names no announced call. It ended nothing. */
    STRAY_CANCEL,

    /** A request that did not come from the registrar. */
    UNSOLICITED,

    /** Anything else. */
    OTHER,
}

/** What is known about the bindings of a user who logged out. */
public enum class Removed {
    /** The server no longer lists our Contact, has listed it before, and the Contact carried everything about push. */
    PROVEN,

    /** The server accepted the removal, but the client cannot see its effect. */
    ACCEPTED,

    /** Nothing was ever sent to a server, or a server does not know the user and never accepted anything. */
    NEVER_BOUND,

    /** No server could be reached for 30 days, or there were too many log-outs. */
    GIVEN_UP,
}

/** Something that an app should know. More kinds may come: give a `when` an `else`. */
public sealed interface SipWakeEvent {
    /** The registrar accepted a REGISTER. */
    public data class Registered(val account: AccountId, val registration: Registration) : SipWakeEvent

    /**
     * A REGISTER, or the connection to the registrar, failed.
     *
     * @property kind the kind of failure, to branch on
     * @property status the final response's status, if there was one
     * @property reason in words
     * @property retryIn the time until the next attempt. If it is null, there is none before the app changes something
     */
    public data class RegistrationFailed(
        val account: AccountId,
        val kind: FailureKind,
        val status: Int?,
        val reason: String,
        val retryIn: Duration?,
    ) : SipWakeEvent

    /**
     * Too many pushes came, and the next REGISTER waits. Six are sent at once, then one every ten seconds.
     *
     * @property wait the time until the next REGISTER
     */
    public data class RegisterDelayed(val account: AccountId, val wait: Duration) : SipWakeEvent

    /** Do not disturb is over. The client makes the push binding again. */
    public data class DoNotDisturbOver(val account: AccountId) : SipWakeEvent

    /** A push was sealed and could not be opened. It is silent, or over PushKit a call from an unknown caller. */
    public data class PushUnopened(val problem: PayloadProblem) : SipWakeEvent

    /**
     * A log-out is over.
     *
     * @property aor the address of record, because the account itself no longer exists
     * @property removed what the server's response proves
     */
    public data class LoggedOut(
        val account: AccountId,
        val aor: String,
        val removed: Removed = Removed.ACCEPTED,
    ) : SipWakeEvent

    /**
     * A capability query was answered (RFC 8599 section 4.1.5).
     *
     * @property status the response's status. 555 means that the server does not support the provider
     * @property providers the providers that the server named
     */
    public data class Capabilities(
        val account: AccountId,
        val status: Int,
        val providers: List<String>,
    ) : SipWakeEvent

    /** Something happened to a call. */
    public sealed interface Call : SipWakeEvent {
        /** The call's UUID: the same for its push and its INVITE. */
        public val uuid: UUID

        /** The account, when it is known. */
        public val account: AccountId?

        /** When it reached each stage so far. */
        public val times: CallTimes
    }

    /** A push announced a call. Its INVITE is on its way. */
    public data class CallAnnounced(
        override val uuid: UUID,
        override val account: AccountId?,
        val caller: Caller,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /**
     * The INVITE is here, so the phone can ring.
     *
     * @property announced whether a push had announced this call
     * @property offer the INVITE's body, for the app's media engine
     */
    public data class CallRinging(
        override val uuid: UUID,
        override val account: AccountId?,
        val caller: Caller,
        val announced: Boolean,
        val offer: SessionDescription?,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /**
     * The user answered, and the INVITE is here. Call [SipWakeClient.accept] without asking the user again.
     *
     * @property offer the caller's offer. If it is null, the caller wants our offer
     */
    public data class CallAnswerWanted(
        override val uuid: UUID,
        override val account: AccountId?,
        val caller: Caller,
        val offer: SessionDescription?,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /** A later push or request names the caller better than before. */
    public data class CallerChanged(
        override val uuid: UUID,
        override val account: AccountId?,
        val caller: Caller,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /**
     * The ACK came, and both sides may talk.
     *
     * @property answer the caller's answer, if the INVITE had no offer and ours was sent
     */
    public data class CallConnected(
        override val uuid: UUID,
        override val account: AccountId?,
        val answer: SessionDescription?,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /**
     * The caller offers other media. Respond with [SipWakeClient.respondOffer] within 20 seconds, or the offer counts as refused.
     *
     * @property offer the new offer. If it is null, the caller wants our offer
     */
    public data class CallOffered(
        override val uuid: UUID,
        override val account: AccountId?,
        val offer: SessionDescription?,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /** The caller answered the offer that the app gave to a [CallOffered] without one. */
    public data class CallOfferAnswered(
        override val uuid: UUID,
        override val account: AccountId?,
        val answer: SessionDescription,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /**
     * The caller asks for something that only the app can do.
     *
     * @property request the request, and whether it waits for [SipWakeClient.respondRequest]
     */
    public data class CallAsked(
        override val uuid: UUID,
        override val account: AccountId?,
        val request: CallRequest,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /**
     * The caller hangs up and says why. [CallEnded] follows.
     *
     * @property reason the BYE's `Reason` (RFC 3326), for example `Q.850;cause=16;text="Normal call clearing"`
     */
    public data class CallHangUpReason(
        override val uuid: UUID,
        override val account: AccountId?,
        val reason: String,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /**
     * A call is over. This comes once.
     *
     * @property reason how it ended
     * @property status the SIP status that says why, for [EndReason.FAILED] only
     */
    public data class CallEnded(
        override val uuid: UUID,
        override val account: AccountId?,
        val reason: EndReason,
        val status: Int? = null,
        override val times: CallTimes = CallTimes(),
    ) : Call

    /**
     * A MESSAGE arrived (RFC 3428). `toString` does not show its text.
     *
     * @property callId the Call-ID. A push for the same message has it, too
     * @property messageId the id that its sender or its server gave it: `imdn.Message-ID` (RFC 5438) or `X-Push-ID`
     * @property date when it was sent, as its sender says, unchecked
     */
    public data class ChatMessage(
        val account: AccountId,
        val from: String,
        val displayName: String?,
        val contentType: String,
        val text: String,
        val callId: String,
        val messageId: String? = null,
        val date: String? = null,
    ) : SipWakeEvent {
        override fun toString(): String = "ChatMessage(account=$account, from=$from, text=${text.length} characters)"
    }

    /** Everything that the app asked for is stored, including commands that were not durable at first. */
    public data object Durable : SipWakeEvent

    /**
     * Something on the network asked for something that the app did not allow, or something may be forged.
     *
     * @property reason in words: the request, what happened, and what the app can do
     * @property realm the realm that the server asked for, if the warning is about one. [SipWakeClient.acceptRealm] takes it
     */
    public data class Warning(
        val account: AccountId,
        val kind: WarningKind,
        val reason: String,
        val realm: String? = null,
    ) : SipWakeEvent

    /** The app's store refused a record, or returned one that cannot be read. */
    public data class StoreFailed(val key: String, val reason: String) : SipWakeEvent

    /** The app's listener threw. It still gets the next events. */
    public data class ListenerFailed(val reason: String) : SipWakeEvent

    /**
     * Something from the network was dropped.
     *
     * @property count how many so far for this reason. The event comes at 1, 2, 4, 8, …
     */
    public data class Discarded(val reason: DiscardReason, val count: Long) : SipWakeEvent

    /** Events were not read in time and are lost. */
    public data class EventsLost(val count: Long) : SipWakeEvent

    /** Something that this version has no name for. */
    public data class Other(val description: String) : SipWakeEvent
}

internal fun FfiEvent.toEvent(): SipWakeEvent = when (this) {
    is FfiEvent.Registered -> SipWakeEvent.Registered(AccountId(account), registration.toRegistration())
    is FfiEvent.RegistrationFailed -> SipWakeEvent.RegistrationFailed(
        AccountId(account),
        kind.named(),
        status?.toInt(),
        reason,
        retryInMs?.toLong()?.milliseconds,
    )
    is FfiEvent.RegisterDelayed -> SipWakeEvent.RegisterDelayed(AccountId(account), waitMs.toLong().milliseconds)
    is FfiEvent.DoNotDisturbOver -> SipWakeEvent.DoNotDisturbOver(AccountId(account))
    is FfiEvent.PushUnopened -> SipWakeEvent.PushUnopened(problem.named())
    is FfiEvent.LoggedOut -> SipWakeEvent.LoggedOut(AccountId(account), aor, removed.named())
    is FfiEvent.Durable -> SipWakeEvent.Durable
    is FfiEvent.Capabilities -> SipWakeEvent.Capabilities(AccountId(account), status.toInt(), providers)
    is FfiEvent.Call -> toCall(UUID.fromString(uuid), account?.let(::AccountId), times.toTimes())
    is FfiEvent.ChatMessage ->
        SipWakeEvent.ChatMessage(AccountId(account), from, displayName, contentType, text, callId, messageId, date)
    is FfiEvent.Warning -> SipWakeEvent.Warning(AccountId(account), kind.named(), reason, realm)
    is FfiEvent.StoreFailed -> SipWakeEvent.StoreFailed(key, reason)
    is FfiEvent.ListenerFailed -> SipWakeEvent.ListenerFailed(reason)
    is FfiEvent.Discarded -> SipWakeEvent.Discarded(reason.named(), count.toLong())
    is FfiEvent.EventsLost -> SipWakeEvent.EventsLost(count.toLong())
    is FfiEvent.Other -> SipWakeEvent.Other(description)
}

private fun FfiEvent.Call.toCall(uuid: UUID, account: AccountId?, times: CallTimes): SipWakeEvent = when (val change = change) {
    is FfiCallChange.Announced -> SipWakeEvent.CallAnnounced(uuid, account, change.caller.toCaller(), times)
    is FfiCallChange.Ringing ->
        SipWakeEvent.CallRinging(uuid, account, change.caller.toCaller(), change.announced, change.offer?.toSession(), times)
    is FfiCallChange.AnswerWanted ->
        SipWakeEvent.CallAnswerWanted(uuid, account, change.caller.toCaller(), change.offer?.toSession(), times)
    is FfiCallChange.CallerChanged -> SipWakeEvent.CallerChanged(uuid, account, change.caller.toCaller(), times)
    is FfiCallChange.Connected -> SipWakeEvent.CallConnected(uuid, account, change.answer?.toSession(), times)
    is FfiCallChange.Offered -> SipWakeEvent.CallOffered(uuid, account, change.offer?.toSession(), times)
    is FfiCallChange.Answered -> SipWakeEvent.CallOfferAnswered(uuid, account, change.answer.toSession(), times)
    is FfiCallChange.Asked -> SipWakeEvent.CallAsked(uuid, account, change.request.toRequest(), times)
    is FfiCallChange.Reason -> SipWakeEvent.CallHangUpReason(uuid, account, change.reason, times)
    is FfiCallChange.Ended -> SipWakeEvent.CallEnded(uuid, account, change.reason.named(), change.status?.toInt(), times)
    is FfiCallChange.Other -> SipWakeEvent.Other("call $uuid: ${change.description}")
}
