package dev.sipwake.android

import dev.sipwake.AccountId
import dev.sipwake.Caller
import dev.sipwake.PushAction
import dev.sipwake.SipWakeEvent
import java.util.UUID
import kotlin.time.Duration
import kotlin.time.Duration.Companion.minutes

/** The phases of a call. */
public enum class CallPhase {
    /** A push announced it. Its INVITE is on its way. */
    ANNOUNCED,

    /** Its INVITE is here. */
    RINGING,

    /** The user answered. The caller's ACK is not here yet. */
    ANSWERING,

    /** Both sides may talk. */
    CONNECTED,
}

/**
 * A call as it is now.
 *
 * @property uuid the call's UUID, the same for its push and its INVITE
 * @property account the account, when it is known
 * @property caller the caller's number or URI, which may be empty
 * @property label the text to show as the caller, or null if nothing is known
 * @property phase its phase
 * @property ringsFor how long it may ring from the start of this phase
 */
public class PhoneCall internal constructor(
    public val uuid: UUID,
    public val account: AccountId?,
    public val caller: String,
    public val label: String?,
    public val phase: CallPhase,
    internal val ringsFor: Duration,
) {
    /** Whether the user has not decided yet. */
    public val rings: Boolean get() = phase == CallPhase.ANNOUNCED || phase == CallPhase.RINGING

    internal fun at(phase: CallPhase, ringsFor: Duration = this.ringsFor) = PhoneCall(uuid, account, caller, label, phase, ringsFor)

    internal fun by(account: AccountId?, caller: Caller) =
        PhoneCall(uuid, account ?: this.account, caller.uri, caller.displayName ?: label ?: shown(caller.uri), phase, ringsFor)

    override fun equals(other: Any?): Boolean = other is PhoneCall && other.uuid == uuid && other.account == account &&
        other.caller == caller && other.label == label && other.phase == phase && other.ringsFor == ringsFor

    override fun hashCode(): Int = uuid.hashCode()

    override fun toString(): String = "PhoneCall($uuid, $phase)"
}

private fun shown(uri: String): String? = uri.ifEmpty { null }

internal fun PushAction.IncomingCall.toCall() =
    PhoneCall(uuid, null, details.caller.orEmpty(), details.callerLabel, CallPhase.ANNOUNCED, timeLeft)

/** Returns the calls after an event. */
internal fun List<PhoneCall>.after(event: SipWakeEvent.Call): List<PhoneCall> {
    val known = find { it.uuid == event.uuid }
    val call = known ?: PhoneCall(event.uuid, event.account, "", null, CallPhase.ANNOUNCED, RING_LIMIT)
    val next = when (event) {
        is SipWakeEvent.CallAnnounced -> call.by(event.account, event.caller)
        is SipWakeEvent.CallRinging -> call.by(event.account, event.caller).let { if (it.rings) it.at(CallPhase.RINGING, RING_LIMIT) else it }
        is SipWakeEvent.CallAnswerWanted -> call.by(event.account, event.caller).at(CallPhase.ANSWERING)
        is SipWakeEvent.CallerChanged -> call.by(event.account, event.caller)
        is SipWakeEvent.CallConnected -> call.at(CallPhase.CONNECTED)
        is SipWakeEvent.CallEnded -> return filter { it.uuid != event.uuid }
        else -> return this
    }
    return if (known == null) this + next else map { if (it.uuid == next.uuid) next else it }
}

/** The default of [dev.sipwake.CallPolicy]. */
private val RING_LIMIT = 3.minutes
