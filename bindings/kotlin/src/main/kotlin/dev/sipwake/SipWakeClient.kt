package dev.sipwake

import java.time.Instant
import java.util.UUID
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.launch
import dev.sipwake.ffi.EventStream
import dev.sipwake.ffi.PushKey as FfiPushKey
import dev.sipwake.ffi.PushPayload as FfiPayload
import dev.sipwake.ffi.SipWakeClient as FfiClient
import dev.sipwake.ffi.parsePush as ffiParsePush

/**
 * Accounts, bindings and calls. One client is meant to live as long as the process.
 *
 * When a call returns, the command is stored and under way. The result comes as an event.
 *
 * Give the accounts of the logged-in users to the constructor. Then a push that comes right after is judged with them. A client without
 * accounts is silent for every push. The constructor reads the store from another thread, and waits for it.
 *
 * @param store where records are kept
 * @param accounts the accounts of the logged-in users; nothing is registered before [register]
 * @param listener gets every event, besides [events]
 * @param options what to trust, how to open payloads, who sees the messages
 * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for an account or an option that cannot be used
 */
public class SipWakeClient(
    store: StateStore,
    accounts: List<AccountSetup> = emptyList(),
    listener: EventListener? = null,
    options: ClientOptions = ClientOptions(),
) : PushClient() {
    private val decryptor = options.decryptor?.let(::SafeDecryptor)
    private val ffi = translating {
        val system = if (options.serverTrust == null) systemTrust() else null
        FfiClient(
            SafeStore(store), accounts.map { it.toFfi() }, listener?.let(::SafeListener), options.toFfi(system != null),
            (options.serverTrust ?: system)?.let(::SafeTrust), decryptor, options.trace?.let(::SafeTrace),
            (options.resolver ?: systemResolver())?.let(::SafeResolver),
        )
    }

    private val hub = EventHub().also { pump(translating { ffi.events() }, it) }

    /**
     * The events. Each collector gets the last 64 from before it came, then all that follow. If it is too slow, [SipWakeEvent.EventsLost]
     * says how many are lost. The flow ends with the client.
     */
    override val events: Flow<SipWakeEvent> = hub.flow(fromNow = false)

    override val eventsFromNow: Flow<SipWakeEvent> = hub.flow(fromNow = true)

    /**
     * Adds an account, or changes the settings of the one with the same AOR and registrar. It continues with what an earlier process
     * stored. Nothing is sent before [register].
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD], which names the field and the rule
     */
    public suspend fun addAccount(setup: AccountSetup): AccountId =
        translating { AccountId(ffi.addAccount(setup.toFfi())) }

    /**
     * Registers now, also after a refusal. Call it at every start of the app. The outcome comes as an event.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun register(account: AccountId): Unit = translating { ffi.register(account.value) }

    /**
     * Sets the push token that the provider gave. A null or empty token is ignored. The same token again costs no traffic.
     *
     * @param alert the second token of iOS; none on Android
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for a token of the wrong shape, [ErrorKind.NO_PUSH],
     *   [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun setToken(account: AccountId, token: String?, alert: String? = null): TokenOutcome =
        translating { ffi.setToken(account.value, token, alert).named() }

    /**
     * Removes the push binding and stays registered. The command is stored before this returns, or it returns [Kept.NOT_YET_DURABLE]. From
     * here on no push makes a sound.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun unbindPush(account: AccountId): Kept = translating { ffi.unbindPush(account.value).named() }

    /**
     * Has an account's user not disturbed [until] then ([Instant.MAX]: until further notice), or with null, or a time that has passed,
     * disturbed again. Stored before this returns, unless it says [Kept.NOT_YET_DURABLE].
     *
     * Meanwhile the account stays registered without a push binding, and no push makes a sound. When the time is over, the binding comes
     * back ([SipWakeEvent.DoNotDisturbOver]). A process that is not running then does this when its client has the account. A running
     * client still reports a call whose INVITE arrives.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun setDoNotDisturb(account: AccountId, until: Instant?): Kept =
        translating { ffi.setDoNotDisturb(account.value, until?.toMilliseconds()).named() }

    /** Returns until when an account's user does not want to be disturbed ([Instant.MAX]: until further notice); null: the user may be. */
    public fun doNotDisturb(account: AccountId): Instant? = translating { ffi.doNotDisturb(account.value)?.toInstant() }

    /**
     * Returns the public part of this phone's key for sealed pushes, which is made and stored at the first call. The sender of the pushes
     * needs both values; send them over the app's own connection to its server. Anybody else who has them can forge pushes.
     *
     * @throws SipWakeException of the kind [ErrorKind.STORE] while the store is shut or fails: a key that may be lost is worth nothing
     */
    public suspend fun pushKey(): PushKey = translating { ffi.pushKey().toPushKey() }

    /**
     * Makes a new key pair for sealed pushes and returns its public part. The former one still opens pushes for 30 days.
     *
     * @throws SipWakeException as [pushKey]
     */
    public suspend fun rotatePushKey(): PushKey = translating { ffi.rotatePushKey().toPushKey() }

    /**
     * Imports a key for sealed pushes from a server, received over a secure connection: 32 bytes in base64url, with the name that the
     * pushes use for it. The same name again replaces the key.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD], or as [pushKey]
     */
    public suspend fun importPushKey(id: String, key: String): Unit = translating { ffi.importPushKey(id, key) }

    /**
     * Forgets an imported key. Returns whether there was one.
     *
     * @throws SipWakeException as [pushKey]
     */
    public suspend fun forgetPushKey(id: String): Boolean = translating { ffi.forgetPushKey(id) }

    /**
     * Accepts another realm for `X-PIID` than the pinned one, after a [SipWakeEvent.Warning].
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for a realm that cannot be one, [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun acceptRealm(account: AccountId, realm: String): Kept =
        translating { ffi.acceptRealm(account.value, realm).named() }

    /**
     * Logs the user out: stored before this returns, unless it says [Kept.NOT_YET_DURABLE], and delivered until the server confirms it
     * ([SipWakeEvent.LoggedOut]), by later processes if need be. From here on no push makes a sound.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun logOut(account: AccountId): Kept = translating { ffi.logOut(account.value).named() }

    /**
     * Asks which push providers the server supports, or whether it supports one (RFC 8599 section 4.1.5). Answered by
     * [SipWakeEvent.Capabilities].
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun queryPush(account: AccountId, provider: String? = null): Unit =
        translating { ffi.queryPush(account.value, provider) }

    /**
     * Returns why the phone rang or did not, as JSON: the decisions in codes and numbers, with what the app knows about its [phone]. It has
     * no name, number, token or address, so users can send it without reading it. `sipwake explain` reads it.
     */
    public suspend fun report(phone: PhoneState? = null): String = translating { ffi.report(phone?.toFfi()) }

    /**
     * Says what a push means for the operating system, at once, and wakes the account behind it.
     *
     * Waits for no network, no lock and no task, and never throws: whatever the payload, there is an action. A push for a user who logged
     * out, or for a call that is over, makes no sound. After [close] a push is only read, as [parsePush] does.
     */
    override fun push(data: Map<String, String>, channel: Channel, hints: PushHints): PushAction = push(fields(data), channel, hints)

    override fun push(json: ByteArray, channel: Channel, hints: PushHints): PushAction = push(FfiPayload.Json(json), channel, hints)

    private fun push(payload: FfiPayload, channel: Channel, hints: PushHints): PushAction = try {
        ffi.push(payload, channel.named(), hints.toFfi())
    } catch (_: IllegalStateException) {
        ffiParsePush(payload, channel.named(), hints.toFfi(), decryptor)
    }.toAction()

    /**
     * Answers for the user, at any time after the push. Once the INVITE is here, [SipWakeEvent.CallAnswerWanted] brings its offer, which
     * [accept] answers.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] for a call that is not known, over, or accepted already
     */
    public suspend fun answer(call: UUID): Unit = translating { ffi.answer(call.toString()) }

    /**
     * Says that the app rings, if [CallPolicy.sessionProgress] delays the 180 until then.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] for a call that is not ringing
     */
    public suspend fun ringing(call: UUID): Unit = translating { ffi.ringing(call.toString()) }

    /**
     * Accepts a ringing call with the answer to its offer or, if it had none, with our offer. [SipWakeEvent.CallConnected]
     * follows with the caller's ACK.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] for a call that is not ringing (its INVITE is not here yet,
     *   or it is over), or an empty answer
     */
    public suspend fun accept(call: UUID, answer: SessionDescription): Unit =
        translating { ffi.accept(call.toString(), answer.toFfi()) }

    /**
     * Declines a call that rings or was announced.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL]
     */
    public suspend fun decline(call: UUID, how: DeclineHow = DeclineHow.EVERYWHERE): Unit =
        translating { ffi.decline(call.toString(), how.named()) }

    /**
     * Ends a call, whatever its state: announced, ringing or answered.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] for a call that is not known or over
     */
    public suspend fun hangUp(call: UUID, why: HangUp = HangUp.Normal): Unit =
        translating { ffi.hangUp(call.toString(), why.toFfi()) }

    /**
     * Responds to [SipWakeEvent.CallOffered] with the app's answer, or refuses with null; then the call continues as it was.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] if no offer waits for a response
     */
    public suspend fun respondOffer(call: UUID, answer: SessionDescription?): Unit =
        translating { ffi.respondOffer(call.toString(), answer?.toFfi()) }

    /**
     * Says whether the app answers INFO (digits, for example) and REFER (a transfer) inside a call with [respondRequest]. Off by default:
     * then [SipWakeEvent.CallAsked] reports them, while an INFO with a body gets 415 and a REFER 405.
     */
    public suspend fun takeCallRequests(take: Boolean): Unit = translating { ffi.takeCallRequests(take) }

    /**
     * Responds to a [SipWakeEvent.CallAsked] that awaits it, with a SIP status from 200 to 699; another becomes 500.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] if nothing of that name awaits a response
     */
    public suspend fun respondRequest(call: UUID, request: Long, status: Int): Unit =
        translating { ffi.respondRequest(call.toString(), request.toULong(), statusOf(status)) }

    /** Sets how calls are treated from here on. */
    public suspend fun setCallPolicy(policy: CallPolicy): Unit = translating { ffi.setCallPolicy(policy.toFfi()) }

    /**
     * Says that the store can be read and written again: the phone was unlocked. The client tries at once what it could not read or store.
     * Without this call it tries with back-off, at least once a minute.
     */
    public suspend fun storeAvailable(): Unit = translating { ffi.storeAvailable() }

    /** Says that the device's network changed. The client opens its flows again, and the bindings follow. */
    public suspend fun networkChanged(): Unit = translating { ffi.networkChanged() }

    override suspend fun takeToken(account: AccountId, token: String) {
        setToken(account, token)
    }

    override suspend fun tellNetworkChanged(): Unit = networkChanged()

    /** Ends the client at once: who waits gets [ErrorKind.SHUT_DOWN], [events] ends, sockets close. Bindings stay on their servers. */
    override fun close() {
        // Rust ends what waits first; otherwise UniFFI would keep the client for it.
        try {
            ffi.shutdown()
        } catch (_: IllegalStateException) {
            return
        }
        ffi.close()
    }
}

internal fun FfiPushKey.toPushKey() = PushKey(p256dh, auth)

private fun Instant.toMilliseconds(): ULong = try {
    toEpochMilli().coerceAtLeast(0).toULong()
} catch (_: ArithmeticException) {
    if (this > Instant.EPOCH) ULong.MAX_VALUE else 0u
}

private fun ULong.toInstant(): Instant = if (this > Long.MAX_VALUE.toULong()) Instant.MAX else Instant.ofEpochMilli(toLong())

/** Knows the stream and not the client, which may be forgotten without being closed. */
private fun pump(stream: EventStream, hub: EventHub) {
    CoroutineScope(Dispatchers.Default).launch {
        try {
            stream.use {
                while (true) hub.tell(translating { it.nextEvent() }?.toEvent() ?: break)
            }
        } catch (error: SipWakeException) {
            // A bug, which must not end the app.
            hub.tell(SipWakeEvent.Other(error.reason))
        } finally {
            hub.close()
        }
    }
}
