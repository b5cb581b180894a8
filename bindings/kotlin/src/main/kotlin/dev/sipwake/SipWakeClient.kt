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
 * Accounts, bindings and calls. Keep one client as long as the process lives.
 *
 * When a call returns, the command is stored and under way. The outcome comes as an event.
 *
 * Give the accounts of the logged-in users to the constructor. Then the client knows them when it judges a push that comes right
 * after. A client without accounts is silent for every push. The constructor reads the store on another thread, and waits for it.
 *
 * @param store the place for records
 * @param accounts the accounts of the logged-in users. Nothing is registered before [register]
 * @param listener gets every event, in addition to [events]
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
     * Adds an account, or changes the settings of the one with the same AOR and registrar. The account continues with what an
     * earlier process stored. Nothing is sent before [register].
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD]. It names the field and the rule
     */
    public suspend fun addAccount(setup: AccountSetup): AccountId =
        translating { AccountId(ffi.addAccount(setup.toFfi())) }

    /**
     * Registers now, even after a refusal. Call it at every start of the app. The outcome comes as an event.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun register(account: AccountId): Unit = translating { ffi.register(account.value) }

    /**
     * Sets the push token that the provider gave. A null or empty token is ignored. The same token again costs no traffic.
     *
     * @param alert the second token of iOS. Android has none
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for a token of the wrong shape, [ErrorKind.NO_PUSH],
     *   [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun setToken(account: AccountId, token: String?, alert: String? = null): TokenOutcome =
        translating { ffi.setToken(account.value, token, alert).named() }

    /**
     * Removes the push binding and keeps the account registered. The command is stored before this returns, or it returns
     * [Kept.NOT_YET_DURABLE]. From then on no push makes a sound.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun unbindPush(account: AccountId): Kept = translating { ffi.unbindPush(account.value).named() }

    /**
     * Keeps pushes from disturbing an account's user until a time. [Instant.MAX] means until further notice. Null, or a time that
     * has passed, ends this. The command is stored before this returns, or it returns [Kept.NOT_YET_DURABLE].
     *
     * Meanwhile the account stays registered without a push binding, and no push makes a sound. When the time is over, the binding
     * comes back ([SipWakeEvent.DoNotDisturbOver]). If no process runs at that moment, this happens when a client gets the account.
     * A running client still reports a call whose INVITE arrives.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun setDoNotDisturb(account: AccountId, until: Instant?): Kept =
        translating { ffi.setDoNotDisturb(account.value, until?.toMilliseconds()).named() }

    /**
     * Returns until when an account's user does not want to be disturbed. [Instant.MAX] means until further notice, null means not
     * at all.
     */
    public fun doNotDisturb(account: AccountId): Instant? = translating { ffi.doNotDisturb(account.value)?.toInstant() }

    /**
     * Returns the public part of this phone's key for sealed pushes. The first call makes and stores the key. The sender of the
     * pushes needs both values. Send them over the app's own connection to its server. Anybody else who has them can forge pushes.
     *
     * @throws SipWakeException of the kind [ErrorKind.STORE] while the store is shut or fails, because a key that may be lost is of
     *   no use
     */
    public suspend fun pushKey(): PushKey = translating { ffi.pushKey().toPushKey() }

    /**
     * Makes a new key pair for sealed pushes and returns its public part. The former one still opens pushes for 30 days.
     *
     * @throws SipWakeException as [pushKey]
     */
    public suspend fun rotatePushKey(): PushKey = translating { ffi.rotatePushKey().toPushKey() }

    /**
     * Imports a key for sealed pushes that a server gave over a secure connection: 32 bytes in base64url, with the name that the
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
     * Accepts another realm for `X-PIID` than the pinned one. Call it after a [SipWakeEvent.Warning].
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for a text that cannot be a realm, [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun acceptRealm(account: AccountId, realm: String): Kept =
        translating { ffi.acceptRealm(account.value, realm).named() }

    /**
     * Logs the user out. The log-out is stored before this returns, or it returns [Kept.NOT_YET_DURABLE]. The client repeats it
     * until the server confirms it ([SipWakeEvent.LoggedOut]), and later processes continue. From then on no push makes a sound.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun logOut(account: AccountId): Kept = translating { ffi.logOut(account.value).named() }

    /**
     * Asks which push providers the server supports, or whether it supports one (RFC 8599 section 4.1.5).
     * [SipWakeEvent.Capabilities] brings the response.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public suspend fun queryPush(account: AccountId, provider: String? = null): Unit =
        translating { ffi.queryPush(account.value, provider) }

    /**
     * Returns why the phone rang or did not, as JSON. The report has the decisions in codes and numbers, and what the app knows
     * about its [phone]. It has no name, number, token or address, so users can send it without reading it. `sipwake explain` reads
     * it.
     */
    public suspend fun report(phone: PhoneState? = null): String = translating { ffi.report(phone?.toFfi()) }

    /**
     * Returns the recording since the client was made, as the text of a file for `sipwake replay`, or null without
     * [ClientOptions.recordForReplay]. It has no password, digest, token, `X-PIID`, key or message text, but it has names, numbers
     * and addresses of callers. Ask the user before you send it. If the cap was reached, the rest is missing, and the file says so.
     */
    public suspend fun recording(): String? = translating { ffi.recording() }

    /**
     * Says at once what a push means for the operating system, and wakes the push's account.
     *
     * It waits for no network, lock or task, and never throws. Any payload gives an action. A push for a user who logged out, or
     * for a call that is over, makes no sound. After [close] a push is only read, as by [parsePush].
     */
    override fun push(data: Map<String, String>, channel: Channel, hints: PushHints): PushAction = push(fields(data), channel, hints)

    override fun push(json: ByteArray, channel: Channel, hints: PushHints): PushAction = push(FfiPayload.Json(json), channel, hints)

    private fun push(payload: FfiPayload, channel: Channel, hints: PushHints): PushAction = try {
        ffi.push(payload, channel.named(), hints.toFfi())
    } catch (_: IllegalStateException) {
        ffiParsePush(payload, channel.named(), hints.toFfi(), decryptor)
    }.toAction()

    /**
     * Answers for the user. This works at any time after the push. When the INVITE is here, [SipWakeEvent.CallAnswerWanted] brings
     * its offer. Answer the offer with [accept].
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] for a call that is unknown, over or accepted already
     */
    public suspend fun answer(call: UUID): Unit = translating { ffi.answer(call.toString()) }

    /**
     * Says that the app rings. With [CallPolicy.sessionProgress] the caller gets 180 only then.
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
     * Ends a call in any state: announced, ringing or answered.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] for a call that is unknown or over
     */
    public suspend fun hangUp(call: UUID, why: HangUp = HangUp.Normal): Unit =
        translating { ffi.hangUp(call.toString(), why.toFfi()) }

    /**
     * Responds to [SipWakeEvent.CallOffered] with the app's answer. Null refuses the offer, and the call continues as it was.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] if no offer waits for a response
     */
    public suspend fun respondOffer(call: UUID, answer: SessionDescription?): Unit =
        translating { ffi.respondOffer(call.toString(), answer?.toFfi()) }

    /**
     * Says whether the app responds to INFO (digits, for example) and REFER (a transfer) inside a call, with [respondRequest]. This
     * is off by default. Then [SipWakeEvent.CallAsked] still reports them, an INFO with a body gets 415, and a REFER gets 405.
     */
    public suspend fun takeCallRequests(take: Boolean): Unit = translating { ffi.takeCallRequests(take) }

    /**
     * Responds to a [SipWakeEvent.CallAsked] that waits for it, with a SIP status from 200 to 699. Any other status becomes 500.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL] if no request with that id waits for a response
     */
    public suspend fun respondRequest(call: UUID, request: Long, status: Int): Unit =
        translating { ffi.respondRequest(call.toString(), request.toULong(), statusOf(status)) }

    /** Sets how calls are treated from here on. */
    public suspend fun setCallPolicy(policy: CallPolicy): Unit = translating { ffi.setCallPolicy(policy.toFfi()) }

    /**
     * Says that the user unlocked the phone, so that the store can be read and written again. The client tries at once what it
     * could not read or store. Without this call it tries with back-off, at least once a minute.
     */
    public suspend fun storeAvailable(): Unit = translating { ffi.storeAvailable() }

    /** Says that the device's network changed. The client opens its flows again, and the bindings follow. */
    public suspend fun networkChanged(): Unit = translating { ffi.networkChanged() }

    override suspend fun takeToken(account: AccountId, token: String) {
        setToken(account, token)
    }

    override suspend fun tellNetworkChanged(): Unit = networkChanged()

    /**
     * Ends the client at once. Pending calls get [ErrorKind.SHUT_DOWN], [events] ends, and sockets close. Bindings stay on their
     * servers.
     */
    override fun close() {
        // Rust first ends the calls that wait. Otherwise UniFFI would keep the client for them.
        try {
            ffi.shutdown()
        } catch (_: IllegalStateException) {
            return
        }
        ffi.close()
    }
}

internal fun FfiPushKey.toPushKey() = PushKey(p256dh, auth)

internal fun Instant.toMilliseconds(): ULong = try {
    toEpochMilli().coerceAtLeast(0).toULong()
} catch (_: ArithmeticException) {
    if (this > Instant.EPOCH) ULong.MAX_VALUE else 0u
}

internal fun ULong.toInstant(): Instant = if (this > Long.MAX_VALUE.toULong()) Instant.MAX else Instant.ofEpochMilli(toLong())

/** It knows the stream but not the client, so the client can be garbage-collected without being closed. */
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
