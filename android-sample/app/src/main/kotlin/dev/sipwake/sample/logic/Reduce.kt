package dev.sipwake.sample.logic

import dev.sipwake.Caller
import dev.sipwake.Duty
import dev.sipwake.PushAction
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
        listOf(Effect.HandOverToken(action.user.account), Effect.Register(action.user.account)),
    )
    is Action.Refused -> Next(state.copy(problem = action.problem))
    Action.TokenCame -> Next(state.copy(hasToken = true), listOfNotNull(state.user?.let { Effect.HandOverToken(it.account) }))
    Action.RegisterTapped -> when (val user = state.user) {
        null -> Next(state)
        else -> Next(state.copy(registering = Registering.Waiting), listOf(Effect.Register(user.account)))
    }
    Action.LogOutTapped -> loggedOut(state)
    is Action.ScreenChosen -> Next(state.copy(screen = action.screen))
    is Action.AnswerTapped -> when (val call = state.call(action.call)) {
        null -> Next(state)
        else -> if (call.phase >= Phase.ANSWERING) Next(state) else changed(state, call.copy(phase = Phase.ANSWERING), Effect.Answer(call.uuid))
    }
    is Action.DeclineTapped -> wish(state, action.call, Effect.Decline(action.call))
    is Action.HangUpTapped -> wish(state, action.call, Effect.HangUp(action.call))
    is Action.Pushed -> pushed(state, action.push)
    is Action.Happened -> happened(state, action.event)
    is Action.Failed -> Next(state.copy(notice = action.reason))
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
    return Next(left, listOf(Effect.LogOut(user.account)) + state.calls.map { Effect.TakeAway(it.uuid) })
}

/** The call stays until its end is an event: the caller may be faster than the user. */
private fun wish(state: SampleState, call: UUID, effect: Effect): Next =
    if (state.call(call) == null) Next(state) else Next(state, listOf(effect))

private fun pushed(state: SampleState, push: PushAction): Next {
    if (push !is PushAction.IncomingCall || state.past.any { it.uuid == push.uuid }) return Next(state)
    val ring = when (push.duty) {
        Duty.StartForegroundService -> Ring.BY_SERVICE
        is Duty.ShowNotification -> Ring.BY_NOTIFICATION
        else -> return Next(state)
    }
    val known = state.call(push.uuid) ?: Call(push.uuid, push.details.caller.orEmpty(), push.details.callerLabel)
    if (known.ring >= ring) return Next(state)
    val call = known.copy(ring = ring)
    return Next(state.with(call), listOf(Effect.StartRinging(call)))
}

private fun happened(state: SampleState, event: SipWakeEvent): Next = when (event) {
    is SipWakeEvent.Registered ->
        ofUser(state, event.account) { it.copy(registering = Registering.Done(event.registration.verdict, event.registration.expires)) }
    is SipWakeEvent.RegistrationFailed ->
        ofUser(state, event.account) { it.copy(registering = Registering.Failed(event.reason, event.retryIn)) }
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
        is SipWakeEvent.CallRinging -> ringing(state, call.from(event.caller).reached(Phase.RINGING))
        is SipWakeEvent.CallAnswerWanted ->
            changed(state, call.from(event.caller).reached(Phase.ANSWERING), Effect.Accept(event.uuid, event.offer))
        is SipWakeEvent.CallerChanged -> changed(state, call.from(event.caller))
        is SipWakeEvent.CallConnected -> changed(state, call.reached(Phase.CONNECTED))
        is SipWakeEvent.CallOffered -> Next(state, listOf(Effect.Respond(event.uuid, event.offer)))
        else -> Next(state)
    }
}

/** A call that no push announced may not start a service: the app may be in the background. */
private fun ringing(state: SampleState, call: Call): Next {
    if (call.ring != Ring.NOT) return changed(state, call)
    val rings = call.copy(ring = Ring.BY_NOTIFICATION)
    return Next(state.with(rings), listOf(Effect.StartRinging(rings)))
}

private fun ended(state: SampleState, event: SipWakeEvent.CallEnded): Next {
    val call = state.call(event.uuid) ?: return Next(state)
    val past = PastCall(call.uuid, call.label, event.reason, event.times.talked)
    val left = state.copy(calls = state.calls - call, past = (listOf(past) + state.past).take(PAST_CALLS))
    return Next(left, listOf(Effect.TakeAway(call.uuid)))
}

private fun changed(state: SampleState, call: Call, vararg effects: Effect) =
    Next(state.with(call), effects.toList() + Effect.ShowChange(call))

private fun SampleState.with(call: Call): SampleState =
    copy(calls = if (call(call.uuid) == null) calls + call else calls.map { if (it.uuid == call.uuid) call else it })

private fun Call.from(caller: Caller): Call =
    copy(number = caller.uri.ifEmpty { number }, name = caller.displayName ?: name)

/** A call never goes back: the user's tap may be ahead of the INVITE. */
private fun Call.reached(phase: Phase): Call = copy(phase = maxOf(this.phase, phase))
