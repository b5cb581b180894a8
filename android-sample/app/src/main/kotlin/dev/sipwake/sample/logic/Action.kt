package dev.sipwake.sample.logic

import dev.sipwake.AccountId
import dev.sipwake.PushAction
import dev.sipwake.SessionDescription
import dev.sipwake.SipWakeEvent
import java.util.UUID

/** What happens to the app. */
sealed interface Action {
    data class Edited(val settings: Settings) : Action
    data object LogInTapped : Action
    data class LoggedIn(val user: User) : Action
    data class Refused(val problem: Problem) : Action
    data object TokenCame : Action
    data object RegisterTapped : Action
    data object LogOutTapped : Action
    data class ScreenChosen(val screen: Screen) : Action

    data class AnswerTapped(val call: UUID) : Action
    data class DeclineTapped(val call: UUID) : Action
    data class HangUpTapped(val call: UUID) : Action

    /** The SDK read a push, which may ring now. */
    data class Pushed(val push: PushAction) : Action

    /** The SDK tells an event. */
    data class Happened(val event: SipWakeEvent) : Action

    /** Something that the user asked for could not be done. */
    data class Failed(val reason: String) : Action
}

/** What the app does about it. */
sealed interface Effect {
    /** Asks something of the SDK. Done one after the other. */
    sealed interface OfClient : Effect

    data class LogIn(val settings: Settings) : OfClient
    data class HandOverToken(val account: AccountId) : OfClient
    data class Register(val account: AccountId) : OfClient
    data class LogOut(val account: AccountId) : OfClient
    data class Answer(val call: UUID) : OfClient
    data class Accept(val call: UUID, val offer: SessionDescription?) : OfClient
    data class Respond(val call: UUID, val offer: SessionDescription?) : OfClient
    data class Decline(val call: UUID) : OfClient
    data class HangUp(val call: UUID) : OfClient

    /** Asks something of Android. Done at once, on the thread of the action: a push gives little time. */
    sealed interface OfPhone : Effect

    data class StartRinging(val call: Call) : OfPhone
    data class ShowChange(val call: Call) : OfPhone
    data class TakeAway(val call: UUID) : OfPhone
}
