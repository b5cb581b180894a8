package dev.sipwake.sample.logic

import dev.sipwake.Caller
import dev.sipwake.SipWakeEvent
import java.util.UUID

/** What follows from an action. */
data class Next(val state: SampleState, val effects: List<Effect> = emptyList())

private const val PAST_CALLS = 20

/** Decides, and does nothing. */
fun reduce(state: SampleState, action: Action): Next = when (action) {
    is Action.Edited -> Next(state.copy(settings = action.settings, problem = null))
    Action.LogInTapped ->
        if (state.user != null) Next(state) else Next(state.copy(problem = null, notice = null), listOf(Effect.LogIn(state.settings)))
    is Action.LoggedIn -> Next(
        state.copy(user = action.user, registering = Registering.Waiting, problem = null, notice = null, screen = Screen.STATUS),
    )
    is Action.Refused -> Next(state.copy(user = null, registering = Registering.Off, problem = action.problem, quietUntil = null))
    Action.RegisterTapped -> when (val user = state.user) {
        null -> Next(state)
        else -> Next(state.copy(registering = Registering.Waiting), listOf(Effect.Register(user.account)))
    }
    Action.LogOutTapped -> loggedOut(state)
    is Action.DoNotDisturbTapped -> when (val user = state.user) {
        null -> Next(state)
        else -> Next(state, listOf(Effect.SetDoNotDisturb(user.account, action.on)))
    }
    is Action.QuietChanged -> Next(if (state.user == null) state else state.copy(quietUntil = action.until))
    is Action.ScreenChosen -> Next(state.copy(screen = action.screen))
    is Action.AnswerTapped -> answered(state, action.call)
    // The call stays until its end is an event: the caller may be faster than the user.
    is Action.HangUpTapped -> Next(state, listOf(Effect.HangUp(action.call)))
    is Action.Happened -> happened(state, action.event)
    is Action.Failed -> Next(state.copy(notice = action.reason))
}

/** The user may tap before the event of the call is here; the SDK knows the call from its push on. */
private fun answered(state: SampleState, uuid: UUID): Next {
    val call = state.call(uuid) ?: return Next(state, listOf(Effect.Answer(uuid)))
    return if (call.phase >= Phase.ANSWERING) Next(state) else Next(state.with(call.copy(phase = Phase.ANSWERING)), listOf(Effect.Answer(uuid)))
}

/** The SDK lets no push make a sound from here on: neither does the app. */
private fun loggedOut(state: SampleState): Next {
    val user = state.user ?: return Next(state)
    val left = SampleState(
        settings = state.settings.copy(password = ""),
        hasToken = state.hasToken,
        past = state.past,
        notice = "Logging ${user.address} out…",
    )
    return Next(left, listOf(Effect.LogOut(user.account)))
}

private fun happened(state: SampleState, event: SipWakeEvent): Next = when (event) {
    is SipWakeEvent.Registered ->
        ofUser(state, event.account) {
            val done = Registering.Done(event.registration.verdict, event.registration.expires)
            it.copy(registering = done, hasToken = event.registration.token != null)
        }
    is SipWakeEvent.RegistrationFailed ->
        ofUser(state, event.account) { it.copy(registering = Registering.Failed(event.reason, event.retryIn)) }
    is SipWakeEvent.DoNotDisturbOver -> ofUser(state, event.account) { it.copy(quietUntil = null) }
    is SipWakeEvent.LoggedOut -> Next(state.copy(notice = "The server has forgotten ${event.aor}."))
    is SipWakeEvent.CallEnded -> ended(state, event)
    is SipWakeEvent.Call -> if (state.user == null) Next(state) else ongoing(state, event)
    is SipWakeEvent.ChatMessage -> Next(state.copy(notice = "${event.displayName ?: event.from}: ${event.text}"))
    is SipWakeEvent.StoreFailed -> Next(state.copy(notice = "A record was not kept: ${event.reason}"))
    is SipWakeEvent.EventsLost -> Next(state.copy(notice = "${event.count} events were lost."))
    else -> Next(state)
}

private fun ofUser(state: SampleState, account: dev.sipwake.AccountId, change: (SampleState) -> SampleState): Next =
    Next(if (state.user?.account == account) change(state) else state)

private fun ongoing(state: SampleState, event: SipWakeEvent.Call): Next {
    val call = state.call(event.uuid) ?: Call(event.uuid)
    return when (event) {
        is SipWakeEvent.CallAnnounced -> Next(state.with(call.from(event.caller)))
        is SipWakeEvent.CallRinging -> Next(state.with(call.from(event.caller).reached(Phase.RINGING)))
        is SipWakeEvent.CallAnswerWanted -> Next(state.with(call.from(event.caller).reached(Phase.ANSWERING)))
        is SipWakeEvent.CallerChanged -> Next(state.with(call.from(event.caller)))
        is SipWakeEvent.CallConnected -> Next(state.with(call.reached(Phase.CONNECTED)))
        else -> Next(state)
    }
}

private fun ended(state: SampleState, event: SipWakeEvent.CallEnded): Next {
    val call = state.call(event.uuid) ?: return Next(state)
    val past = PastCall(call.uuid, call.label, event.reason, event.times.talked)
    return Next(state.copy(calls = state.calls - call, past = (listOf(past) + state.past).take(PAST_CALLS)))
}

private fun SampleState.with(call: Call): SampleState =
    copy(calls = if (call(call.uuid) == null) calls + call else calls.map { if (it.uuid == call.uuid) call else it })

private fun Call.from(caller: Caller): Call =
    copy(number = caller.uri.ifEmpty { number }, name = caller.displayName ?: name)

/** A call never goes back: the user's tap may be ahead of the INVITE. */
private fun Call.reached(phase: Phase): Call = copy(phase = maxOf(this.phase, phase))
