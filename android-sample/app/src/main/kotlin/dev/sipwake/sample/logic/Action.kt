package dev.sipwake.sample.logic

import dev.sipwake.AccountId
import dev.sipwake.SipWakeEvent
import java.time.Instant
import java.util.UUID

/** What happens to the app. */
sealed interface Action {
    data class Edited(val settings: Settings) : Action
    data object LogInTapped : Action
    data class LoggedIn(val user: User) : Action
    data class Refused(val problem: Problem) : Action
    data object RegisterTapped : Action
    data object LogOutTapped : Action

    /** The switch: not to be disturbed for an hour, or to be disturbed again. */
    data class DoNotDisturbTapped(val on: Boolean) : Action

    /** Until when the user does not want to be disturbed; null: they may be. */
    data class QuietChanged(val until: Instant?) : Action
    data class ScreenChosen(val screen: Screen) : Action

    data class AnswerTapped(val call: UUID) : Action

    /** Declines a call that rings, or ends another one. */
    data class HangUpTapped(val call: UUID) : Action

    /** The SDK tells an event. */
    data class Happened(val event: SipWakeEvent) : Action

    /** Something that the user asked for could not be done, or the platform refused something. */
    data class Failed(val reason: String) : Action
}

/** What the app asks of the SDK. Done one after the other. */
sealed interface Effect {
    data class LogIn(val settings: Settings) : Effect
    data class Register(val account: AccountId) : Effect
    data class LogOut(val account: AccountId) : Effect
    data class SetDoNotDisturb(val account: AccountId, val on: Boolean) : Effect
    data class Answer(val call: UUID) : Effect
    data class HangUp(val call: UUID) : Effect
}
