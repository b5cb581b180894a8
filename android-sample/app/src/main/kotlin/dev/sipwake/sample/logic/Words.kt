package dev.sipwake.sample.logic

import dev.sipwake.EndReason
import dev.sipwake.Standing
import java.time.Instant
import java.time.ZoneId
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds

/** What the screens say. */
object Words {
    fun standing(registering: Registering): String = when (registering) {
        Registering.Off -> "Not registered"
        Registering.Waiting -> "Registering…"
        is Registering.Failed -> "Not registered"
        is Registering.Done -> when (registering.verdict.standing) {
            Standing.CONFIRMED -> "Registered: the server will push"
            Standing.UNCONFIRMED -> "Registered: the server may push"
            Standing.REFUSED -> "Registered: the server will not push"
            Standing.NOT_ASKED -> "Registered, without push"
        }
    }

    fun details(registering: Registering): List<String> = when (registering) {
        Registering.Off, Registering.Waiting -> emptyList()
        is Registering.Failed -> listOfNotNull(registering.reason, registering.retryIn?.let { "Next try in ${seconds(it)}" })
        is Registering.Done ->
            listOf(registering.verdict.reason, registering.verdict.advice, "Binding lives for ${seconds(registering.expires)}").filter { it.isNotEmpty() }
    }

    fun token(there: Boolean): String = if (there) "The server has the token" else "No token at the server yet"

    fun quiet(until: Instant?, zone: ZoneId = ZoneId.systemDefault()): String =
        if (until == null) "Do not disturb for an hour" else "Do not disturb until ${until.atZone(zone).toLocalTime().withNano(0)}"

    fun phase(phase: Phase): String = when (phase) {
        Phase.ANNOUNCED -> "Incoming call, connecting…"
        Phase.RINGING -> "Incoming call"
        Phase.ANSWERING -> "Answering…"
        Phase.CONNECTED -> "Connected"
    }

    fun end(call: PastCall): String {
        val reason = when (call.reason) {
            EndReason.CANCELLED, EndReason.MISSED, EndReason.UNANSWERED -> "missed"
            EndReason.ANSWERED_ELSEWHERE -> "answered elsewhere"
            EndReason.DECLINED_ELSEWHERE -> "declined elsewhere"
            EndReason.DECLINED -> "declined"
            EndReason.HUNG_UP_BY_CALLER, EndReason.HUNG_UP -> "ended"
            EndReason.LOGGED_OUT -> "logged out"
            EndReason.FAILED -> "failed"
            EndReason.OTHER -> "over"
        }
        return listOfNotNull(reason, call.talked?.let(::seconds)).joinToString(", ")
    }

    private fun seconds(duration: Duration): String = duration.inWholeSeconds.seconds.toString()
}
