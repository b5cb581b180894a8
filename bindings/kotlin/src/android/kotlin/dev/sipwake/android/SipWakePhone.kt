package dev.sipwake.android

import android.app.Notification
import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.UserManager
import android.util.Log
import androidx.annotation.MainThread
import dev.sipwake.AccountId
import dev.sipwake.AccountSetup
import dev.sipwake.ClientOptions
import dev.sipwake.Duty
import dev.sipwake.EndReason
import dev.sipwake.ErrorKind
import dev.sipwake.HangUp
import dev.sipwake.Kept
import dev.sipwake.PushAction
import dev.sipwake.Registration
import dev.sipwake.SessionDescription
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeEvent
import dev.sipwake.SipWakeException
import dev.sipwake.Standing
import dev.sipwake.StateStore
import java.time.Instant
import java.util.Collections
import java.util.UUID
import java.util.concurrent.ConcurrentHashMap
import kotlin.concurrent.thread
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineExceptionHandler
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharedFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asSharedFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.flow.updateAndGet
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull

/** The app's `Application`. The services that Android starts find the process's one [SipWakePhone] here. */
public interface SipWakePhoneOwner {
    /** It stays the same as long as the process lives. */
    public val phone: SipWakePhone
}

/**
 * A phone that rings: a client with its notifications and its foreground service. An app can replace each part by one of its own
 * around a [SipWakeClient].
 *
 * Create it in `Application.onCreate` and [start] it there. Neither call loads the library or reads a disk on the calling thread.
 *
 * @param context any context of the app, whose `Application` is a [SipWakePhoneOwner]
 * @param media the app's media engine
 * @param store creates the store for the client's records, on another thread
 * @param options the client's options, see [SipWakeClient]
 * @param accounts returns the accounts of the logged-in users. It is called once, on another thread
 */
public class SipWakePhone @JvmOverloads constructor(
    context: Context,
    public val settings: PhoneSettings,
    private val media: CallMedia,
    private val store: (Context) -> StateStore = { KeystoreStateStore(it) },
    private val options: ClientOptions = ClientOptions(),
    private val accounts: () -> List<AccountSetup>,
) {
    private val context = context.applicationContext ?: context

    /** Made by its first user on another thread, because loading coroutines takes longer than the main thread may wait. */
    private val scope by lazy {
        CoroutineScope(SupervisorJob() + Dispatchers.Default + CoroutineExceptionHandler { _, error -> refuse(Refusal.FAULT, error) })
    }
    private val notifications = CallNotifications(this.context, settings)
    private val awake = WakeLocks(this.context) { refuse(Refusal.WAKE_LOCK, it) }
    private val pending by lazy { PendingWork(this.context, settings.jobId) }
    private val known: MutableMap<AccountId, AccountSetup> = ConcurrentHashMap()
    private val silenced = ConcurrentHashMap.newKeySet<UUID>()
    private val announced = HashSet<UUID>()

    /** The last calls that ended. A call's end may be reported before its push is handled. */
    private val over = Collections.synchronizedSet(
        Collections.newSetFromMap(
            object : LinkedHashMap<UUID, Boolean>() {
                override fun removeEldestEntry(eldest: Map.Entry<UUID, Boolean>): Boolean = size > ENDS_KEPT
            },
        ),
    )

    @Volatile
    private var token: String? = null

    @Volatile
    internal var serviceRuns = false

    /** Whether the call screen is in front. Only then may the service use the microphone from the start. */
    @Volatile
    internal var screenVisible = false

    private val nowCalls = MutableStateFlow<List<PhoneCall>>(emptyList())
    private val nowRegistrations = MutableStateFlow<Map<AccountId, SipWakeEvent>>(emptyMap())
    private val nowQuiet = MutableStateFlow<Map<AccountId, Instant>>(emptyMap())
    private val refused = MutableSharedFlow<PlatformRefusal>(REFUSALS_KEPT, 0, BufferOverflow.DROP_OLDEST)
    private val refreshing = MutableStateFlow(false)
    private val heard = MutableSharedFlow<SipWakeEvent>(extraBufferCapacity = EVENTS_AHEAD)

    /** The calls as they are now, in the order in which they came in. */
    public val calls: StateFlow<List<PhoneCall>> = nowCalls.asStateFlow()

    /** The last [SipWakeEvent.Registered] or [SipWakeEvent.RegistrationFailed] of each account. */
    public val registrations: StateFlow<Map<AccountId, SipWakeEvent>> = nowRegistrations.asStateFlow()

    /** The accounts whose users do not want to be disturbed, and until when. [Instant.MAX] means until further notice. */
    public val doNotDisturb: StateFlow<Map<AccountId, Instant>> = nowQuiet.asStateFlow()

    /** The platform's refusals. A later collector gets the last few. */
    public val refusals: SharedFlow<PlatformRefusal> = refused.asSharedFlow()

    /** Whether there is a reason to keep the process: a call, or a push whose REGISTER has no response yet. */
    internal val busy: Boolean get() = refreshing.value || nowCalls.value.isNotEmpty()
    internal val work: StateFlow<Boolean> get() = refreshing

    private val making by lazy { scope.async(Dispatchers.IO) { make() } }

    private suspend fun make(): SipWakeClient {
        val made = try {
            notifications.createChannels()
            val setups = accounts().onEach(::check)
            SipWakeClient(store(context), setups, options = options).also {
                setups.forEach { known[it.account.id()] = it }
            }
        } catch (error: Exception) {
            // Errors of the app's own code arrive here, too.
            refuse(Refusal.CLIENT, error)
            throw error
        }
        known.keys.forEach { followQuiet(made, it) }
        tellOfUnlock(made)
        scope.launch(start = CoroutineStart.UNDISPATCHED) { made.events.collect(::onEvent) }
        NetworkWatch(context, made)
        if (settings.telecom && TelecomCalls.isSupported(context)) telecom = telecomCalls(made)
        return made
    }

    /** Null if the device takes no calls of apps, or if the app does not want this. */
    @Volatile
    internal var telecom: TelecomCalls? = null

    /** Before the first unlock after a restart the store is shut. The client itself tries again only now and then. */
    private fun tellOfUnlock(client: SipWakeClient) {
        val users = context.system<UserManager>()
        if (users.isUserUnlocked) return
        fun tell() = scope.launch { attempt { client.storeAvailable() } }
        val receiver = object : BroadcastReceiver() {
            override fun onReceive(receiving: Context, intent: Intent) {
                context.unregisterReceiver(this)
                tell()
            }
        }
        // Only the system can send this. No other app can.
        context.registerReceiver(receiver, IntentFilter(Intent.ACTION_USER_UNLOCKED))
        // The user may have unlocked the phone in the meantime.
        if (users.isUserUnlocked) tell()
    }

    private fun telecomCalls(client: SipWakeClient): TelecomCalls? = try {
        val label = context.applicationInfo.loadLabel(context.packageManager)
        TelecomCalls(context, client, SipWakeConnectionService::class.java, label, Controls()) { call, offer -> media.describe(call, offer) }
    } catch (error: SecurityException) {
        refuse(Refusal.TELECOM, error)
        null
    }

    private inner class Controls : TelecomControls() {
        override val accepts: Boolean get() = false
        override fun onSilence(call: UUID): Unit = silence(call)
        override fun onShowIncomingCallUi(call: UUID) {
            nowCalls.value.find { it.uuid == call }?.let(::show)
        }

        override fun onRefused(call: UUID, error: RuntimeException): Unit = refuse(Refusal.TELECOM, error)
    }

    /** Begins to create the client, to watch the network and to register, each on another thread. */
    public fun start() {
        // A plain thread, because nothing of coroutines is loaded yet.
        thread(name = "sipwake-start") {
            scope.launch {
                val client = clientOrNull() ?: return@launch
                known.keys.forEach { attempt { client.register(it) } }
            }
            fetchToken()
        }
    }

    /** Asks Firebase for the token, if the app has Firebase. [SipWakePushService] brings later tokens. */
    public fun fetchToken() {
        scope.launch {
            try {
                FirebaseTokens.fetch(context) { result ->
                    result.fold({ found -> scope.launch { setToken(found) } }, { refuse(Refusal.TOKEN, it) })
                }
            } catch (_: LinkageError) {
                // The app has no Firebase and brings its tokens itself.
            } catch (error: IllegalStateException) {
                // Firebase is there, but nobody set it up. Without google-services.json it has no project.
                refuse(Refusal.TOKEN, error)
            }
        }
    }

    /**
     * Returns the client when it is ready.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for an account or option that cannot be used
     */
    public suspend fun client(): SipWakeClient = making.await()

    /**
     * Adds the account of a user who logged in, gives it the token and registers it.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD]. It names the field and the rule
     */
    public suspend fun logIn(setup: AccountSetup): AccountId {
        check(setup)
        val client = client()
        val account = client.addAccount(setup)
        known[account] = setup
        token?.let { client.setToken(account, it) } ?: fetchToken()
        client.register(account)
        return account
    }

    /**
     * Logs a user out. The log-out is stored when this returns. If the process ends before the server has confirmed it, a job
     * delivers it.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun logOut(account: AccountId): Kept {
        val client = client()
        // This comes before the server can confirm the log-out, because that removes the job.
        if (!pending.add(account)) refuse(Refusal.JOB, IllegalStateException("the job was not taken"))
        val kept = try {
            client.logOut(account)
        } catch (error: SipWakeException) {
            pending.done(account)
            throw error
        }
        known -= account
        nowRegistrations.update { it - account }
        nowQuiet.update { it - account }
        return kept
    }

    /**
     * Keeps pushes from disturbing an account's user until a time, see [SipWakeClient.setDoNotDisturb]. If the process is gone at
     * that time, a job makes the push binding again.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun setDoNotDisturb(account: AccountId, until: Instant?): Kept {
        val client = client()
        val kept = client.setDoNotDisturb(account, until)
        followQuiet(client, account)
        return kept
    }

    private fun followQuiet(client: SipWakeClient, account: AccountId) {
        val until = client.doNotDisturb(account)
        nowQuiet.update { if (until == null) it - account else it + (account to until) }
        if (until != null) wakeAfterQuiet(account, until)
    }

    /** Nothing else wakes the phone at that time, because its push binding is gone. */
    private fun wakeAfterQuiet(account: AccountId, until: Instant) {
        val after = if (until == Instant.MAX) null else java.time.Duration.between(Instant.now(), until).toMillis().coerceAtLeast(0).milliseconds
        if (!pending.due(account, after)) refuse(Refusal.JOB, IllegalStateException("the job was not taken"))
    }

    /** Hands a push token to every account, and keeps it for those that are added later. */
    public suspend fun setToken(token: String) {
        this.token = token
        val client = clientOrNull() ?: return
        for (account in known.keys) {
            try {
                client.setToken(account, token)
            } catch (error: SipWakeException) {
                if (error.kind != ErrorKind.NO_PUSH) refuse(Refusal.TOKEN, error)
            }
        }
    }

    /** Accounts that log in later wait for another token. The servers keep this one until they get the next. */
    internal fun forgetToken(token: String) {
        if (this.token == token) this.token = null
        refuse(Refusal.TOKEN, IllegalStateException("Firebase gave up the installation id: no push arrives until the app registers again"))
    }

    /** The user answers. When the INVITE is here, the app's media engine gets its offer. */
    public fun answer(call: UUID): Unit = command { answer(call) }

    /** The user declines a call that rings, or ends another one. */
    public fun hangUp(call: UUID) {
        val rings = nowCalls.value.find { it.uuid == call }?.rings == true
        command { if (rings) decline(call) else hangUp(call) }
    }

    /** Tells that an app's own call screen comes to the front or leaves it. Only in front may the service use the microphone. */
    @MainThread
    public fun callScreenShown(shown: Boolean) {
        screenVisible = shown
        if (!shown) return
        if (busy && !serviceRuns) startService() else serviceShows()
    }

    /** Ends the sound of a call that rings. The user can still answer it. */
    public fun silence(call: UUID) {
        silenced += call
        nowCalls.value.find { it.uuid == call }?.let(::show)
    }

    /**
     * Judges a push, shows what it asks for, and keeps the process alive for it. Do not call it on the main thread. It waits for no
     * network.
     *
     * @param judge hands the push to the client
     * @param mayStartService whether Android allows a foreground service for this push, because it came with high priority or the
     *   app is in front
     * @return null if there is no client
     */
    internal suspend fun take(mayStartService: Boolean, judge: (SipWakeClient) -> PushAction): Taken? {
        val client = clientOrNull() ?: return null
        awake.hold(if (mayStartService) AWAKE_FOR_SERVICE else AWAKE_FOR_WORKER)
        val answered = scope.async(start = CoroutineStart.UNDISPATCHED) { heard.first(::answersPush) }
        val action = judge(client)
        when (action) {
            is PushAction.IncomingCall -> {
                nowCalls.update { calls ->
                    if (action.uuid in over || calls.any { it.uuid == action.uuid }) calls else calls + action.toCall()
                }
                val call = nowCalls.value.find { it.uuid == action.uuid }
                call?.let(::announce)
                val served = mayStartService && startService()
                if (!served) call?.let(::show)
                return Taken(action, answered.takeUnless { served })
            }
            is PushAction.Chat -> showMessage(action)
            else -> {}
        }
        if (!wakes(action)) {
            answered.cancel()
            letGoIfIdle()
            return Taken(action, null)
        }
        refreshing.value = true
        scope.launch {
            // If a server does not respond in this time, the job continues, and so do the client's own timers while the
            // process lives.
            withTimeoutOrNull(REFRESH_LIMIT) { answered.await() }
            refreshing.value = false
            letGoIfIdle()
        }
        val served = mayStartService && startService()
        return Taken(action, answered.takeUnless { served })
    }

    /** Tells Telecom, or its replacement in the app, about a call before it is shown. */
    private fun announce(call: PhoneCall) {
        synchronized(announced) {
            if (!announced.add(call.uuid)) return
            try {
                settings.announcer?.announce(call)
            } catch (error: Exception) {
                refuse(Refusal.TELECOM, error)
            }
            telecom?.announce(call.uuid, call.caller, call.label)
        }
    }

    /** Shows a message if its push asks for that. */
    internal fun showMessage(action: PushAction) {
        if (action.duty !is Duty.ShowNotification) return
        val details = action.details
        attempt { notifications.showMessage(details.callId ?: "${details.uuid}", details.callerLabel ?: details.title, details.text) }
    }

    /** Does a job's work. Returns whether all of it is done. */
    internal suspend fun finishWork(): Boolean = coroutineScope {
        val work = pending.begin()
        val client = clientOrNull() ?: return@coroutineScope false
        val accounts = known.keys.filter { work.isEmpty() || work.isDue(it) }
        val answers = accounts.map { account ->
            async(start = CoroutineStart.UNDISPATCHED) { heard.first { it.registers(account) } is SipWakeEvent.Registered }
        }
        accounts.forEach { attempt { client.register(it) } }
        work.due.keys.map(::AccountId).filter { it !in known }.forEach { pending.due(it, null) }
        // The client itself delivers the stored log-outs.
        pending.work.first { it.logOuts.isEmpty() }
        answers.awaitAll().all { it }
    }

    internal fun endWork(again: Boolean): Unit = pending.end(again)

    private fun SipWakeEvent.registers(account: AccountId) =
        this is SipWakeEvent.Registered && this.account == account || this is SipWakeEvent.RegistrationFailed && this.account == account

    /** A server that pushes before the binding ends keeps the binding. If it does not say that it pushes, a job must refresh. */
    private fun keepBinding(account: AccountId, registration: Registration) {
        nowQuiet.value[account]?.let { return wakeAfterQuiet(account, it) }
        val wakesItself = (known[account] ?: return).push?.wakesItself == true
        if (wakesItself && registration.expires < 1.days) {
            refuse(Refusal.SHORT_BINDING, IllegalStateException("the server grants ${registration.expires}, and a sleeping phone needs a day"))
        }
        val lead = registration.verdict.refreshLead ?: Duration.ZERO
        val after = PendingWork.refreshAfter(registration.expires)?.coerceAtMost(registration.expires - lead)
        val ours = wakesItself || registration.verdict.standing == Standing.UNCONFIRMED
        if (!pending.due(account, after.takeIf { ours })) refuse(Refusal.JOB, IllegalStateException("the job was not taken"))
    }

    /** Waits until the server has responded to the REGISTER that a push caused, but not too long. A job does the rest. */
    internal suspend fun await(answered: Deferred<*>) {
        if (withTimeoutOrNull(WORKER_LIMIT) { answered.await() } == null && !pending.refreshSoon()) {
            refuse(Refusal.JOB, IllegalStateException("the job was not taken"))
        }
        letGoIfIdle()
    }

    private fun startService(): Boolean = try {
        context.startForegroundService(Intent(context, SipWakeCallService::class.java)) != null
    } catch (error: IllegalStateException) {
        refuse(Refusal.SERVICE_START, error)
        false
    } catch (error: SecurityException) {
        refuse(Refusal.SERVICE_START, error)
        false
    }

    /** Returns what the foreground service shows now: the call that matters most, or that it only registers. */
    internal fun foreground(): Pair<Int, Notification> {
        val call = foremost() ?: return CallNotifications.CONNECTION_ID to notifications.connecting()
        return CallNotifications.id(call.uuid) to notifications.of(call, call.uuid in silenced)
    }

    internal fun foremost(): PhoneCall? = nowCalls.value.let { calls ->
        calls.lastOrNull { it.phase == CallPhase.CONNECTED } ?: calls.lastOrNull { it.phase == CallPhase.ANSWERING } ?: calls.firstOrNull()
    }

    /** The service shows the foremost call by itself. */
    private fun show(call: PhoneCall) {
        if (serviceRuns && foremost()?.uuid == call.uuid) return serviceShows()
        attempt { notifications.show(call, call.uuid in silenced) }
        // The call may have ended on another thread since we looked it up, and its notification could not be removed
        // before it existed.
        if (call.uuid in over) notifications.cancel(call.uuid)
    }

    @Volatile
    internal var serviceShows: () -> Unit = {}

    private suspend fun onEvent(event: SipWakeEvent) {
        heard.emit(event)
        when (event) {
            is SipWakeEvent.Registered -> {
                nowRegistrations.update { it + (event.account to event) }
                keepBinding(event.account, event.registration)
            }
            is SipWakeEvent.RegistrationFailed -> nowRegistrations.update { it + (event.account to event) }
            is SipWakeEvent.DoNotDisturbOver -> nowQuiet.update { it - event.account }
            is SipWakeEvent.LoggedOut -> pending.done(event.account)
            is SipWakeEvent.ChatMessage -> attempt {
                notifications.showMessage(event.callId, event.displayName ?: event.from, event.text)
            }
            is SipWakeEvent.Call -> onCall(event)
            else -> {}
        }
    }

    private suspend fun onCall(event: SipWakeEvent.Call) {
        if (event is SipWakeEvent.CallEnded) over += event.uuid
        val before = nowCalls.value.find { it.uuid == event.uuid }
        val after = nowCalls.updateAndGet { it.after(event) }.find { it.uuid == event.uuid }
        when (event) {
            is SipWakeEvent.CallAnswerWanted -> scope.launch { accept(event) }
            is SipWakeEvent.CallOffered -> scope.launch { attempt { client().respondOffer(event.uuid, describe(event.uuid, event.offer)) } }
            is SipWakeEvent.CallEnded -> {
                silenced -= event.uuid
                synchronized(announced) { announced -= event.uuid }
                attempt {
                    notifications.cancel(event.uuid)
                    if (before != null && event.reason in MISSED) notifications.showMissed(before)
                }
                letGoIfIdle()
            }
            else -> {}
        }
        if (after == null || after == before) return
        if (after.phase == CallPhase.CONNECTED) awake.letGo()
        // No push announced this INVITE, so the app is running. If it is not in front, Android may refuse.
        if (after.rings) announce(after)
        if (before == null && event is SipWakeEvent.CallRinging && !event.announced && !serviceRuns) startService()
        show(after)
    }

    private suspend fun accept(event: SipWakeEvent.CallAnswerWanted) {
        val answer = describe(event.uuid, event.offer)
        attempt {
            if (answer == null) client().hangUp(event.uuid, HangUp.Failed(NOT_ACCEPTABLE_HERE)) else client().accept(event.uuid, answer)
        }
    }

    private suspend fun describe(call: UUID, offer: SessionDescription?): SessionDescription? = try {
        media.describe(call, offer)
    } catch (cancelled: CancellationException) {
        throw cancelled
    } catch (error: Exception) {
        Log.w("sipwake", "no session description for call $call: ${error.javaClass.name}")
        null
    }

    private fun letGoIfIdle() {
        if (!busy) awake.letGo()
    }

    internal fun refuse(what: Refusal, error: Throwable) {
        val refusal = PlatformRefusal(what, error.message ?: error.javaClass.name)
        Log.w("sipwake", "refused: $refusal")
        refused.tryEmit(refusal)
    }

    internal suspend fun clientOrNull(): SipWakeClient? = try {
        client()
    } catch (cancelled: CancellationException) {
        throw cancelled
    } catch (_: Exception) {
        // It was reported as a refusal.
        null
    }

    private fun command(action: suspend SipWakeClient.() -> Unit) {
        scope.launch { attempt { clientOrNull()?.action() } }
    }

    private inline fun attempt(action: () -> Unit) {
        try {
            action()
        } catch (_: SipWakeException) {
            // The call or account is gone, and another event says so.
        } catch (error: SecurityException) {
            refuse(Refusal.NOTIFICATION, error)
        } catch (error: IllegalArgumentException) {
            refuse(Refusal.NOTIFICATION, error)
        }
    }

    /** Android's jobs wait for its maintenance windows, which are hours apart while the phone sleeps. */
    private fun check(setup: AccountSetup) {
        if (setup.push?.wakesItself == true && setup.account.expires < 1.days) {
            throw SipWakeException(
                ErrorKind.INVALID_FIELD, "needs an account that expires in 86400 s or more: a sleeping phone refreshes seldom", "push.wakesItself",
            )
        }
    }

    public companion object {
        /** Returns the call that opened the app's own call screen. With the action `Intent.ACTION_ANSWER` the user has answered it. */
        @JvmStatic
        public fun callOf(intent: Intent): UUID? = CallNotifications.callOf(intent)

        private const val REFUSALS_KEPT = 16
        private const val EVENTS_AHEAD = 64
        private const val ENDS_KEPT = 64

        /** RFC 3261 section 21.4.26. */
        private const val NOT_ACCEPTABLE_HERE = 488
        private val MISSED = setOf(EndReason.CANCELLED, EndReason.MISSED, EndReason.UNANSWERED)

        /** Firebase gives its worker some twenty seconds. */
        private val WORKER_LIMIT = 18.seconds
        private val REFRESH_LIMIT = 30.seconds

        /** The client waits 40 s for an INVITE. Then it rings for up to three minutes. */
        private val AWAKE_FOR_SERVICE = 220.seconds
        private val AWAKE_FOR_WORKER = 40.seconds
    }
}

/** A push that was taken. The caller must wait for [answered], because no foreground service keeps the process. */
internal class Taken(val action: PushAction, val answered: Deferred<SipWakeEvent>?)

/** Whether the server has done what a push asks for, or cannot do it now. */
internal fun answersPush(event: SipWakeEvent): Boolean =
    event is SipWakeEvent.Registered || event is SipWakeEvent.RegistrationFailed || event is SipWakeEvent.CallRinging

/** Whether the client registers after a push of this kind, without a call to show in the meantime. */
internal fun wakes(action: PushAction): Boolean =
    action is PushAction.RefreshBinding || action is PushAction.Chat || action is PushAction.Custom

internal val Context.phone: SipWakePhone
    get() = checkNotNull(applicationContext as? SipWakePhoneOwner) { "the app's Application must be a SipWakePhoneOwner" }.phone
