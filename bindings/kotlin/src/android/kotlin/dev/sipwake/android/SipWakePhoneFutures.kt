package dev.sipwake.android

import android.app.Activity
import dev.sipwake.AccountId
import dev.sipwake.AccountSetup
import dev.sipwake.Kept
import dev.sipwake.SessionDescription
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeEvent
import java.time.Instant
import java.util.UUID
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CompletionStage
import java.util.concurrent.Executor
import java.util.function.BiFunction
import java.util.function.Consumer
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.future.await
import kotlinx.coroutines.future.future
import kotlinx.coroutines.launch

/** A [SipWakePhone] for Java. It has futures instead of suspension, listeners instead of flows, and account ids as text. */
public class SipWakePhoneFutures(private val phone: SipWakePhone) {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)

    /** See [SipWakePhone.client]. */
    public fun client(): CompletableFuture<SipWakeClient> = scope.future { phone.client() }

    /** See [SipWakePhone.logIn]. The future brings the account's id. */
    public fun logIn(setup: AccountSetup): CompletableFuture<String> = scope.future { phone.logIn(setup).value }

    /** See [SipWakePhone.logOut]. */
    public fun logOut(account: String): CompletableFuture<Kept> = scope.future { phone.logOut(AccountId(account)) }

    /** See [SipWakePhone.setDoNotDisturb]. */
    public fun setDoNotDisturb(account: String, until: Instant?): CompletableFuture<Kept> =
        scope.future { phone.setDoNotDisturb(AccountId(account), until) }

    /** See [SipWakePhone.setToken]. */
    public fun setToken(token: String): CompletableFuture<Void?> = scope.future {
        phone.setToken(token)
        null
    }

    /** Returns the last [SipWakeEvent.Registered] or [SipWakeEvent.RegistrationFailed] of an account. Null before the first. */
    public fun registration(account: String): SipWakeEvent? = phone.registrations.value[AccountId(account)]

    /** Reports the calls now and at each change, until it is closed. */
    public fun onCalls(executor: Executor, listener: Consumer<List<PhoneCall>>): AutoCloseable = tell(phone.calls, executor, listener)

    /** Reports the platform's refusals, beginning with the last few, until it is closed. */
    public fun onRefusals(executor: Executor, listener: Consumer<PlatformRefusal>): AutoCloseable = tell(phone.refusals, executor, listener)

    private fun <T> tell(flow: Flow<T>, executor: Executor, listener: Consumer<T>): AutoCloseable {
        val telling = scope.launch { flow.collect { executor.execute { listener.accept(it) } } }
        return AutoCloseable { telling.cancel() }
    }

    public companion object {
        /** Returns a media engine that describes its sessions by futures. See [CallMedia.describe]. */
        @JvmStatic
        public fun media(describe: BiFunction<UUID, SessionDescription?, CompletionStage<SessionDescription>>): CallMedia =
            CallMedia { call, offer -> describe.apply(call, offer).await() }
    }
}

/**
 * Builds [PhoneSettings]. Each function returns the builder.
 *
 * @param icon the small icon of the notifications, a resource
 */
public class PhoneSettingsBuilder(private val icon: Int) {
    private var callScreen: Class<out Activity> = SipWakeCallActivity::class.java
    private var openApp: Class<out Activity>? = null
    private var words = PhoneWords()
    private var telecom = false
    private var jobId: Int? = null
    private var announcer: CallAnnouncer? = null

    /** See [PhoneSettings.callScreen]. */
    public fun callScreen(activity: Class<out Activity>): PhoneSettingsBuilder = set { callScreen = activity }

    /** See [PhoneSettings.openApp]. */
    public fun openApp(activity: Class<out Activity>): PhoneSettingsBuilder = set { openApp = activity }

    /** See [PhoneSettings.words]. */
    public fun words(words: PhoneWords): PhoneSettingsBuilder = set { this.words = words }

    /** See [PhoneSettings.telecom]. */
    public fun telecom(inTelecom: Boolean): PhoneSettingsBuilder = set { telecom = inTelecom }

    /** See [PhoneSettings.jobId]. */
    public fun jobId(id: Int): PhoneSettingsBuilder = set { jobId = id }

    /** See [PhoneSettings.announcer]. */
    public fun announcer(announcer: CallAnnouncer): PhoneSettingsBuilder = set { this.announcer = announcer }

    /** Returns the settings. */
    public fun build(): PhoneSettings = PhoneSettings(icon, callScreen, openApp, words, telecom, jobId ?: PhoneSettings(icon).jobId, announcer)

    private inline fun set(change: () -> Unit): PhoneSettingsBuilder {
        change()
        return this
    }
}
