package dev.sipwake

import java.time.Instant
import java.util.UUID
import java.util.concurrent.CompletableFuture
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.future.future

/**
 * A [SipWakeClient] for Java, with futures instead of suspending functions and account ids as text. A failed future holds a
 * [SipWakeException]. If you cancel a future, it stops waiting, but sipwake still carries out its command.
 *
 * Events come to the [EventListener] that the client was made with. [accountOf] and [expiresSeconds] read what Java cannot read.
 * Accounts, push settings, options and call policies come from [AccountBuilder], [PushBuilder], [OptionsBuilder] and
 * [CallPolicyBuilder].
 */
public class SipWakeFutures(private val client: SipWakeClient) {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)

    /** See [SipWakeClient.addAccount]. The future brings the account's id. */
    public fun addAccount(setup: AccountSetup): CompletableFuture<String> = ask { addAccount(setup).value }

    /** See [SipWakeClient.register]. */
    public fun register(account: String): CompletableFuture<Void?> = tell { register(AccountId(account)) }

    /** See [SipWakeClient.setToken]. */
    public fun setToken(account: String, token: String?): CompletableFuture<TokenOutcome> = ask { setToken(AccountId(account), token) }

    /** See [SipWakeClient.unbindPush]. */
    public fun unbindPush(account: String): CompletableFuture<Kept> = ask { unbindPush(AccountId(account)) }

    /** See [SipWakeClient.setDoNotDisturb]. */
    public fun setDoNotDisturb(account: String, until: Instant?): CompletableFuture<Kept> = ask { setDoNotDisturb(AccountId(account), until) }

    /** See [SipWakeClient.doNotDisturb]. */
    public fun doNotDisturb(account: String): Instant? = client.doNotDisturb(AccountId(account))

    /** See [SipWakeClient.acceptRealm]. */
    public fun acceptRealm(account: String, realm: String): CompletableFuture<Kept> = ask { acceptRealm(AccountId(account), realm) }

    /** See [SipWakeClient.queryPush]. */
    public fun queryPush(account: String, provider: String?): CompletableFuture<Void?> = tell { queryPush(AccountId(account), provider) }

    /** See [SipWakeClient.report]. */
    public fun report(phone: PhoneState?): CompletableFuture<String> = ask { report(phone) }

    /** See [SipWakeClient.recording]. */
    public fun recording(): CompletableFuture<String?> = ask { recording() }

    /** See [SipWakeClient.pushKey]. */
    public fun pushKey(): CompletableFuture<PushKey> = ask { pushKey() }

    /** See [SipWakeClient.rotatePushKey]. */
    public fun rotatePushKey(): CompletableFuture<PushKey> = ask { rotatePushKey() }

    /** See [SipWakeClient.importPushKey]. */
    public fun importPushKey(id: String, key: String): CompletableFuture<Void?> = tell { importPushKey(id, key) }

    /** See [SipWakeClient.forgetPushKey]. */
    public fun forgetPushKey(id: String): CompletableFuture<Boolean> = ask { forgetPushKey(id) }

    /** See [SipWakeClient.logOut]. */
    public fun logOut(account: String): CompletableFuture<Kept> = ask { logOut(AccountId(account)) }

    /** See [SipWakeClient.answer]. */
    public fun answer(call: UUID): CompletableFuture<Void?> = tell { answer(call) }

    /** See [SipWakeClient.ringing]. */
    public fun ringing(call: UUID): CompletableFuture<Void?> = tell { ringing(call) }

    /** See [SipWakeClient.accept]. */
    public fun accept(call: UUID, answer: SessionDescription): CompletableFuture<Void?> = tell { accept(call, answer) }

    /** See [SipWakeClient.decline]. */
    public fun decline(call: UUID, how: DeclineHow): CompletableFuture<Void?> = tell { decline(call, how) }

    /** See [SipWakeClient.hangUp]. */
    public fun hangUp(call: UUID): CompletableFuture<Void?> = tell { hangUp(call) }

    /** See [SipWakeClient.respondOffer]. */
    public fun respondOffer(call: UUID, answer: SessionDescription?): CompletableFuture<Void?> = tell { respondOffer(call, answer) }

    /** See [SipWakeClient.takeCallRequests]. */
    public fun takeCallRequests(take: Boolean): CompletableFuture<Void?> = tell { takeCallRequests(take) }

    /** See [SipWakeClient.respondRequest]. */
    public fun respondRequest(call: UUID, request: Long, status: Int): CompletableFuture<Void?> = tell { respondRequest(call, request, status) }

    /** See [SipWakeClient.setCallPolicy]. A policy comes from [CallPolicyBuilder]. */
    public fun setCallPolicy(policy: CallPolicy): CompletableFuture<Void?> = tell { setCallPolicy(policy) }

    /** See [SipWakeClient.networkChanged]. */
    public fun networkChanged(): CompletableFuture<Void?> = tell { networkChanged() }

    /** See [SipWakeClient.storeAvailable]. */
    public fun storeAvailable(): CompletableFuture<Void?> = tell { storeAvailable() }

    private fun <T> ask(what: suspend SipWakeClient.() -> T): CompletableFuture<T> = scope.future { client.what() }

    private fun tell(what: suspend SipWakeClient.() -> Unit): CompletableFuture<Void?> = ask {
        what()
        null
    }

    public companion object {
        /** Returns the id of an account, which is the same across restarts. */
        @JvmStatic
        public fun idOf(setup: AccountSetup): String = setup.account.id().value

        /** Returns the id of the account that an event is about. Null if there is none, or if it is not known yet. */
        @JvmStatic
        public fun accountOf(event: SipWakeEvent): String? = when (event) {
            is SipWakeEvent.Registered -> event.account
            is SipWakeEvent.RegistrationFailed -> event.account
            is SipWakeEvent.LoggedOut -> event.account
            is SipWakeEvent.DoNotDisturbOver -> event.account
            is SipWakeEvent.Capabilities -> event.account
            is SipWakeEvent.Call -> event.account
            else -> null
        }?.value

        /** Returns how long a binding lives. */
        @JvmStatic
        public fun expiresSeconds(registration: Registration): Long = registration.expires.inWholeSeconds
    }
}
