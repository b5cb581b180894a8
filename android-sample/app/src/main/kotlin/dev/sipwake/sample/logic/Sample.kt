package dev.sipwake.sample.logic

import dev.sipwake.AccountId
import dev.sipwake.AccountSetup
import dev.sipwake.ErrorKind
import dev.sipwake.PhoneState
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeException
import dev.sipwake.StateStore
import java.time.Duration
import java.time.Instant
import java.util.UUID
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch

/** What the app asks of the SDK: of its ready phone, which rings, shows and answers by itself. */
interface Line {
    suspend fun client(): SipWakeClient
    suspend fun logIn(setup: AccountSetup): AccountId
    suspend fun logOut(account: AccountId)
    suspend fun setDoNotDisturb(account: AccountId, until: Instant?)
    suspend fun answer(call: UUID)
    suspend fun hangUp(call: UUID)
}

/**
 * The app without its screens: holds the state, and does what [reduce] decides.
 *
 * Reads no disk and loads no library on the thread that makes it: `Application.onCreate` is the main one.
 */
class Sample(
    private val records: StateStore,
    private val line: Line,
    val trace: TraceLog,
    private val scope: CoroutineScope,
    defaults: Settings = Settings(),
) {
    private val mutable = MutableStateFlow(SampleState(settings = defaults))
    private val effects = Channel<Effect>(Channel.UNLIMITED)
    val state: StateFlow<SampleState> = mutable.asStateFlow()

    init {
        scope.launch {
            try {
                val client = line.client()
                Settings.savedIn(records)?.let { saved ->
                    dispatch(Action.Edited(saved))
                    val account = saved.setup().account.id()
                    dispatch(Action.LoggedIn(User(account, saved.address.trim())))
                    dispatch(Action.QuietChanged(client.doNotDisturb(account)))
                }
                launch(start = CoroutineStart.UNDISPATCHED) { for (effect in effects) perform(effect) }
                client.events.collect { dispatch(Action.Happened(it)) }
            } catch (error: SipWakeException) {
                if (error.kind != ErrorKind.SHUT_DOWN) dispatch(Action.Failed(error.reason))
            }
        }
    }

    fun dispatch(action: Action): Unit = synchronized(mutable) {
        val next = reduce(mutable.value, action)
        mutable.value = next.state
        next.effects.forEach(effects::trySend)
    }

    /** Why the phone rang or did not, for those who examine a problem. It has no name, number, token or address. */
    fun report(phone: PhoneState, share: (String) -> Unit) {
        scope.launch {
            try {
                share(line.client().report(phone))
            } catch (error: SipWakeException) {
                dispatch(Action.Failed(error.reason))
            }
        }
    }

    private suspend fun perform(effect: Effect) {
        try {
            when (effect) {
                is Effect.LogIn -> logIn(effect.settings)
                is Effect.Register -> line.client().register(effect.account)
                is Effect.LogOut -> logOut(effect.account)
                is Effect.SetDoNotDisturb -> {
                    line.setDoNotDisturb(effect.account, if (effect.on) Instant.now() + QUIET else null)
                    dispatch(Action.QuietChanged(line.client().doNotDisturb(effect.account)))
                }
                is Effect.Answer -> line.answer(effect.call)
                is Effect.HangUp -> line.hangUp(effect.call)
            }
        } catch (error: SipWakeException) {
            when {
                // Its end is an event of its own.
                error.kind == ErrorKind.NO_SUCH_CALL -> {}
                effect is Effect.LogIn -> dispatch(Action.Refused(Problem.of(error)))
                else -> dispatch(Action.Failed(error.reason))
            }
        }
    }

    private suspend fun logIn(settings: Settings) {
        val setup = settings.setup()
        // Before the first event of the account.
        dispatch(Action.LoggedIn(User(setup.account.id(), settings.address.trim())))
        line.logIn(setup)
        attempt("The settings could not be kept") { settings.saveIn(records) }
    }

    private suspend fun logOut(account: AccountId) {
        line.logOut(account)
        attempt("The settings could not be removed") { Settings.removeFrom(records) }
    }

    private fun attempt(failure: String, action: () -> Unit) {
        try {
            action()
        } catch (error: Exception) {
            dispatch(Action.Failed("$failure: $error"))
        }
    }

    private companion object {
        /** How long the switch keeps the phone quiet. */
        val QUIET: Duration = Duration.ofHours(1)
    }
}
