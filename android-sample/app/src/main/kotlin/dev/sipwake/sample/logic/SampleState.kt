package dev.sipwake.sample.logic

import dev.sipwake.AccountId
import dev.sipwake.EndReason
import dev.sipwake.Verdict
import java.time.Instant
import java.util.UUID
import kotlin.time.Duration

/** The screens that the user chooses; a call is shown over each of them. */
enum class Screen { STATUS, TRACE }

/** All that the screens show. */
data class SampleState(
    val settings: Settings = Settings(),
    val problem: Problem? = null,
    val user: User? = null,
    val registering: Registering = Registering.Off,
    val hasToken: Boolean = false,
    val quietUntil: Instant? = null,
    val calls: List<Call> = emptyList(),
    val past: List<PastCall> = emptyList(),
    val screen: Screen = Screen.STATUS,
    val notice: String? = null,
) {
    /** The call in front: one that waits for the user before one that the user is in. */
    val shown: Call? get() = calls.firstOrNull { it.phase < Phase.ANSWERING } ?: calls.firstOrNull()

    fun call(uuid: UUID): Call? = calls.find { it.uuid == uuid }
}

/** Who is logged in. */
data class User(val account: AccountId, val address: String)

/** What is known of the registration. */
sealed interface Registering {
    data object Off : Registering
    data object Waiting : Registering
    data class Done(val verdict: Verdict, val expires: Duration) : Registering
    data class Failed(val reason: String, val retryIn: Duration?) : Registering
}

/** How far a call is. */
enum class Phase {
    /** A push announced it; there is nothing to answer yet, but the user may tap already. */
    ANNOUNCED,
    RINGING,

    /** The user answered; the caller has not confirmed yet. */
    ANSWERING,
    CONNECTED,
}

/** A call that is not over. */
data class Call(
    val uuid: UUID,
    val number: String = "",
    val name: String? = null,
    val phase: Phase = Phase.ANNOUNCED,
) {
    /** What to show as the caller. Nobody verified it. */
    val label: String get() = name ?: number.ifEmpty { "Unknown caller" }
}

/** A call that is over. */
data class PastCall(val uuid: UUID, val label: String, val reason: EndReason, val talked: Duration?)
