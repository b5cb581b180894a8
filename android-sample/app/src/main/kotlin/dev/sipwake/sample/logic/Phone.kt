package dev.sipwake.sample.logic

import dev.sipwake.AccountId
import dev.sipwake.ClientOptions
import dev.sipwake.ErrorKind
import dev.sipwake.PhoneState
import dev.sipwake.PushAction
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeException
import dev.sipwake.StateStore
import dev.sipwake.TraceListener
import dev.sipwake.android.InactiveMedia
import java.util.UUID
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch

/** How calls show on this phone. Called on the thread of the action; throws nothing. */
interface CallDisplay {
    fun startRinging(call: Call)
    fun showChange(call: Call)
    fun takeAway(call: UUID)
}

/**
 * The app without its screens: holds the state, and does what [reduce] decides.
 *
 * Made in `Application.onCreate`, with the account of the user who is logged in: the push that started the process is
 * judged right after.
 */
class Phone(
    private val records: StateStore,
    private val display: CallDisplay,
    private val scope: CoroutineScope,
    defaults: Settings = Settings(),
) : AutoCloseable {
    val trace = TraceLog()
    val client: SipWakeClient
    val state: StateFlow<SampleState>

    private val mutable: MutableStateFlow<SampleState>
    private val wishes = Channel<Effect.OfClient>(Channel.UNLIMITED)

    @Volatile
    private var token: String? = null

    init {
        val options = ClientOptions(trace = TraceListener(trace::add))
        val saved = saved()
        client = SipWakeClient(records, listOfNotNull(saved?.setup()), options = options)
        val user = saved?.let { User(it.setup().account.id(), it.address) }
        mutable = MutableStateFlow(SampleState(settings = saved ?: defaults))
        state = mutable.asStateFlow()
        scope.launch(start = CoroutineStart.UNDISPATCHED) {
            try {
                client.events.collect { dispatch(Action.Happened(it)) }
            } catch (_: SipWakeException) {
                // The client is closed.
            }
        }
        scope.launch { for (wish in wishes) grant(wish) }
        user?.let { dispatch(Action.LoggedIn(it)) }
    }

    val accounts: List<AccountId> get() = listOfNotNull(state.value.user?.account)

    fun dispatch(action: Action) {
        val effects = synchronized(mutable) {
            val next = reduce(mutable.value, action)
            mutable.value = next.state
            next.effects.filterIsInstance<Effect.OfClient>().forEach(wishes::trySend)
            next.effects.filterIsInstance<Effect.OfPhone>()
        }
        for (effect in effects) when (effect) {
            is Effect.StartRinging -> display.startRinging(effect.call)
            is Effect.ShowChange -> display.showChange(effect.call)
            is Effect.TakeAway -> display.takeAway(effect.call)
        }
    }

    fun pushed(push: PushAction): Unit = dispatch(Action.Pushed(push))

    /** The token is a secret: the state knows only that there is one. */
    fun tokenCame(token: String) {
        this.token = token
        dispatch(Action.TokenCame)
    }

    /** Why the phone rang, or did not, for whoever looks into a problem: nobody's name, number, token or address is in it. */
    fun report(phone: PhoneState, share: (String) -> Unit) {
        scope.launch {
            try {
                share(client.report(phone))
            } catch (error: SipWakeException) {
                dispatch(Action.Failed(error.reason))
            }
        }
    }

    override fun close() {
        wishes.close()
        client.close()
    }

    private suspend fun grant(wish: Effect.OfClient) {
        try {
            when (wish) {
                is Effect.LogIn -> logIn(wish.settings)
                is Effect.HandOverToken -> token?.let { client.setToken(wish.account, it) }
                is Effect.Register -> client.register(wish.account)
                is Effect.LogOut -> logOut(wish.account)
                is Effect.Answer -> client.answer(wish.call)
                is Effect.Accept -> client.accept(wish.call, InactiveMedia.answer(wish.offer))
                is Effect.Respond -> client.respondOffer(wish.call, InactiveMedia.answer(wish.offer))
                is Effect.Decline -> client.decline(wish.call)
                is Effect.HangUp -> client.hangUp(wish.call)
            }
        } catch (error: SipWakeException) {
            when {
                // Its end is an event of its own; and where Telecom knows the call, its adapter accepts, too.
                error.kind == ErrorKind.NO_SUCH_CALL -> {}
                wish is Effect.LogIn -> dispatch(Action.Refused(Problem.of(error)))
                else -> dispatch(Action.Failed(error.reason))
            }
        }
    }

    private suspend fun logIn(settings: Settings) {
        val account = client.addAccount(settings.setup())
        save(settings)
        dispatch(Action.LoggedIn(User(account, settings.address.trim())))
    }

    private suspend fun logOut(account: AccountId) {
        client.logOut(account)
        try {
            records.remove(RECORD)
        } catch (error: Exception) {
            dispatch(Action.Failed("The settings could not be removed: $error"))
        }
    }

    private fun save(settings: Settings) {
        try {
            records.save(RECORD, settings.toBytes())
        } catch (error: Exception) {
            dispatch(Action.Failed("The settings could not be kept: $error"))
        }
    }

    /** What cannot be read or is refused is entered again. */
    private fun saved(): Settings? = try {
        records.load(RECORD)?.let(Settings::of)?.also { it.setup().account.id() }
    } catch (_: Exception) {
        null
    }

    private companion object {
        const val RECORD = "sample-settings"
    }
}
