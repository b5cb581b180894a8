package dev.sipwake

import java.lang.ref.WeakReference
import java.time.Instant
import java.util.UUID
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import dev.sipwake.ffi.CompanionListener as FfiListener
import dev.sipwake.ffi.CompanionTold
import dev.sipwake.ffi.PushPayload as FfiPayload
import dev.sipwake.ffi.SipWakeCompanion as FfiCompanion
import dev.sipwake.ffi.parsePush as ffiParsePush

/**
 * Does the push part of a [SipWakeClient] beside another SIP stack, which registers and takes the calls. It says what each REGISTER
 * must say, what a response means and which push belongs to which INVITE, and it makes sure that a log-out is delivered. It opens
 * no socket. `docs/beside.md` says which promises depend on the stack, and what the stack must not do.
 *
 * ```
 * val companion = SipWakeCompanion(store, stack, listOf(setup))
 * companion.setToken(alice, token)
 * val register = companion.registerTags(alice)                                    // into the stack's next REGISTER
 * val answer = companion.heard(alice, RegisterResponse(200, headers, register = register.number))
 * when (answer.next) {
 *     CompanionNext.Again -> …                                                    // take the tags, and register at once
 *     else -> …
 * }
 * ```
 *
 * Nothing here suspends or waits for a network. Everything that must be stored is stored on the caller's thread before a call
 * returns. Do not call it from inside the [store][StateStore]. A store has one client or companion at a time. [close] the one that
 * you no longer use.
 *
 * @param store the place for records. Use the client's own store, so that an app can change from one to the other
 * @param stack the app's SIP stack. The companion calls it from here on, first for log-outs that an earlier process could not
 *   deliver
 * @param accounts the accounts of the logged-in users. Name the stack's own transport in them: if others can read it, it gets no
 *   `X-PIID`
 * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for an account that cannot be used
 */
public class SipWakeCompanion(
    store: StateStore,
    stack: CompanionStack,
    accounts: List<AccountSetup> = emptyList(),
) : PushClient() {
    private val ffi = translating { FfiCompanion(SafeStore(store), accounts.map { it.toFfi() }) }
    private val hub = EventHub()

    override val events: Flow<SipWakeEvent> = hub.flow(fromNow = false)
    override val eventsFromNow: Flow<SipWakeEvent> = hub.flow(fromNow = true)

    init {
        translating { ffi.listen(SafeCompanionListener(WeakReference(this), stack, hub)) }
    }

    /**
     * Adds an account, or changes the settings of the one with the same AOR and registrar.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD]. It names the field and the rule
     */
    public fun addAccount(setup: AccountSetup): AccountId = translating { AccountId(ffi.addAccount(setup.toFfi())) }

    /**
     * Tells the companion the other stack's own Contact URI. Call it at each change. If the stack does not show the URI, the
     * registrar's list does.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD], [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun standsAt(account: AccountId, contact: String): Unit = translating { ffi.standsAt(account.value, contact) }

    /**
     * Hands over the push token that the provider gave. A null, empty or "not yet" token is ignored.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for a token of the wrong shape, [ErrorKind.NO_PUSH],
     * [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun setToken(account: AccountId, token: String?, alert: String? = null): TokenOutcome =
        translating { ffi.setToken(account.value, token, alert).named() }

    /**
     * Removes the push binding and keeps the account registered. From then on no push makes a sound.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun unbindPush(account: AccountId): Kept = translating { ffi.unbindPush(account.value).named() }

    /**
     * Keeps pushes from disturbing an account's user until a time, or ends this with null, as [SipWakeClient.setDoNotDisturb] does.
     * The stack is asked to register without push, and with push when the time is over.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun setDoNotDisturb(account: AccountId, until: Instant?): Kept =
        translating { ffi.setDoNotDisturb(account.value, until?.toMilliseconds()).named() }

    /**
     * Returns until when an account's user does not want to be disturbed. [Instant.MAX] means until further notice, null means not
     * at all.
     */
    public fun doNotDisturb(account: AccountId): Instant? = translating { ffi.doNotDisturb(account.value)?.toInstant() }

    /**
     * Logs the user out. The log-out is stored before this returns, or it returns [Kept.NOT_YET_DURABLE]. [pending] names it, in
     * later processes too, until a response that [heard] takes ends it ([SipWakeEvent.LoggedOut]). From here on no push makes a
     * sound.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun logOut(account: AccountId): Kept = translating { ffi.logOut(account.value).named() }

    /** The log-outs that are not over. */
    public fun pending(): List<PendingLogOut> = translating { ffi.pending().map { it.toPending() } }

    /**
     * Accepts another realm for `X-PIID` than the pinned one. Call it after a [SipWakeEvent.Warning].
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD], [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun acceptRealm(account: AccountId, realm: String): Kept = translating { ffi.acceptRealm(account.value, realm).named() }

    /**
     * Says that the server may hold a binding that no record knows, for example after an update from an app without sipwake. Then a
     * log-out is sent even if nothing was registered.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun assumeBound(account: AccountId): Unit = translating { ffi.assumeBound(account.value) }

    /**
     * Returns what the stack's next REGISTER must say. It stays the same until a response comes or the app gives another command.
     * Call it before each REGISTER. Everything that the REGISTER depends on is stored.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT], or [ErrorKind.NO_SUCH_REGISTER] if only left gateways still
     *   hold something
     */
    public fun registerTags(account: AccountId): CompanionRegister = translating { ffi.registerTags(account.value).toRegister() }

    /**
     * Makes the stack register now, by [CompanionStack.register]. If the stack was asked already and its response is still to come,
     * nothing happens.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun register(account: AccountId): Unit = translating { ffi.register(account.value) }

    /**
     * Makes the stack deliver the pending log-outs and register these accounts. When all are done, it returns whether each account
     * is registered.
     */
    internal suspend fun finishWork(accounts: List<AccountId>): Boolean = coroutineScope {
        val leaving = pending().map { it.account }
        val waiting = (accounts - leaving).toMutableSet()
        var failed = false
        val over = async(start = CoroutineStart.UNDISPATCHED) {
            eventsFromNow.first { event ->
                if (event is SipWakeEvent.Registered) waiting -= event.account
                if (event is SipWakeEvent.RegistrationFailed) failed = waiting.remove(event.account) || failed
                waiting.isEmpty() && pending().isEmpty()
            }
        }
        for (account in (accounts + leaving).distinct()) {
            try {
                register(account)
            } catch (error: SipWakeException) {
                // The stack may have delivered a log-out since then.
                if (error.kind != ErrorKind.NO_SUCH_ACCOUNT || account !in leaving) throw error
            }
        }
        if ((accounts - leaving).isEmpty() && pending().isEmpty()) over.cancel() else over.await()
        !failed
    }

    /** Returns the REGISTERs that remove bindings at left gateways, for a stack that can reach these. */
    public fun registersElsewhere(): List<CompanionRegister> = translating { ffi.registersElsewhere().map { it.toRegister() } }

    /**
     * Tells the companion the Call-ID and CSeq of a REGISTER that the stack has sent, if the stack shows them. They identify its
     * response.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_REGISTER] for a number that was never given, or has its response
     *   already
     */
    public fun sent(account: AccountId, register: Long, callId: String, cseq: Long): Unit = translating {
        ffi.sent(account.value, register.toULong(), callId, cseq.coerceIn(0, UInt.MAX_VALUE.toLong()).toUInt())
    }

    /**
     * Takes a response to a REGISTER of the stack, and returns what it means.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] if it is not a response (`status`, `headers`),
     *   [ErrorKind.NO_SUCH_REGISTER] if no tags were taken, [ErrorKind.NO_SUCH_ACCOUNT]. Then nothing has changed
     */
    public fun heard(account: AccountId, response: RegisterResponse): CompanionAnswer =
        translating { ffi.heard(account.value, response.toFfi()).toAnswer() }

    /** The same for a whole response as it came over the wire. */
    public fun heard(account: AccountId, response: ByteArray, register: Long? = null): CompanionAnswer =
        translating { ffi.heardMessage(account.value, register?.toULong(), response).toAnswer() }

    override fun push(data: Map<String, String>, channel: Channel, hints: PushHints): PushAction = push(fields(data), channel, hints)

    override fun push(json: ByteArray, channel: Channel, hints: PushHints): PushAction = push(FfiPayload.Json(json), channel, hints)

    private fun push(payload: FfiPayload, channel: Channel, hints: PushHints): PushAction = try {
        translating { ffi.push(payload, channel.named(), hints.toFfi()) }
    } catch (_: SipWakeException) {
        // It is closed, so the push is only read.
        ffiParsePush(payload, channel.named(), hints.toFfi(), null)
    }.toAction()

    /**
     * Says whether an INVITE that came to the stack for this account rings, and under which UUID. Call it before the phone rings.
     *
     * @param headers all of its header fields, or at least `From`, `Call-ID` and, if it has them, `P-Asserted-Identity`,
     *   `X-Push-ID` and similar ones
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] (`headers`), [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun invited(account: AccountId, headers: List<Pair<String, String>>): CompanionInvite =
        translating { ffi.invited(account.value, named(headers)).toInvite() }

    /**
     * The user wants to answer. This works at any time after the push. If the INVITE is here, [CompanionStack.accept] is called.
     * Otherwise [invited] says so when it comes.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for a call that is over or answered
     */
    public fun answer(call: UUID): Unit = translating { ffi.answer("$call") }

    /**
     * The stack has accepted an INVITE of this call. [SipWakeEvent.CallConnected] follows.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for one that is over, answered, or whose INVITE is not here
     */
    public fun answered(call: UUID): Unit = translating { ffi.answered("$call") }

    /**
     * The user declines a call that rings or was announced. [CompanionStack.refuse] is called, and an INVITE that comes later gets
     * the same status.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for a call that is over or answered
     */
    public fun decline(call: UUID, how: DeclineHow = DeclineHow.EVERYWHERE): Unit = translating { ffi.decline("$call", how.named()) }

    /**
     * The user ends a call in any state. If it was answered, [CompanionStack.hangUp] is called, otherwise [CompanionStack.refuse].
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for a call that is over
     */
    public fun hangUp(call: UUID, why: HangUp = HangUp.Normal): Unit = translating { ffi.hangUp("$call", why.toFfi()) }

    /**
     * A CANCEL came to the stack, which responds to its INVITE with 487. Returns how the call ended, or null while another INVITE
     * of it rings.
     *
     * @param headers the CANCEL's header fields. `Reason` tells whether the call was answered elsewhere (RFC 3326)
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for a call that is over or answered
     */
    public fun cancelled(call: UUID, headers: List<Pair<String, String>> = emptyList()): EndReason? =
        translating { ffi.cancelled("$call", named(headers))?.named<EndReason>() }

    /**
     * Another device of the user has answered, and the server said so in another way than by a CANCEL.
     *
     * @throws SipWakeException as [ended]
     */
    public fun answeredElsewhere(call: UUID): Unit = translating { ffi.answeredElsewhere("$call") }

    /**
     * The call is over at the stack. From here on no late push or INVITE of it makes a sound.
     *
     * @param status the SIP status that says why, for [EndReason.FAILED] only
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for a call that is over. Report an end only once
     */
    public fun ended(call: UUID, how: EndReason, status: Int? = null): Unit =
        translating { ffi.ended("$call", how.named(), status?.let(::statusOf)) }

    /**
     * Returns the public part of this phone's key for sealed pushes. See [SipWakeClient.pushKey].
     *
     * @throws SipWakeException of the kind [ErrorKind.STORE] while the store is shut or fails
     */
    public fun pushKey(): PushKey = translating { ffi.pushKey().toPushKey() }

    /**
     * Makes a new key pair for sealed pushes and returns its public part. The former one still opens pushes for 30 days.
     *
     * @throws SipWakeException as [pushKey]
     */
    public fun rotatePushKey(): PushKey = translating { ffi.rotatePushKey().toPushKey() }

    /**
     * Imports a key for sealed pushes from a server. See [SipWakeClient.importPushKey].
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD], or as [pushKey]
     */
    public fun importPushKey(id: String, key: String): Unit = translating { ffi.importPushKey(id, key) }

    /**
     * Forgets an imported key. Returns whether there was one.
     *
     * @throws SipWakeException as [pushKey]
     */
    public fun forgetPushKey(id: String): Boolean = translating { ffi.forgetPushKey(id) }

    /** Sets how long the companion waits for an announced call. The stack itself decides about answers. */
    public fun setCallPolicy(policy: CallPolicy): Unit = translating { ffi.setCallPolicy(policy.toFfi()) }

    /** Says that the device's network changed. The stack is asked to register again. */
    public fun networkChanged(): Unit = translating { ffi.networkChanged() }

    /** Says that the user unlocked the phone, so that the store can be read and written again. */
    public fun storeAvailable(): Unit = translating { ffi.storeAvailable() }

    /** Returns why the phone rang, or did not, as JSON. See [SipWakeClient.report]. */
    public fun report(phone: PhoneState? = null): String = translating { ffi.report(phone?.toFfi()) }

    override suspend fun takeToken(account: AccountId, token: String) {
        setToken(account, token)
    }

    override suspend fun tellNetworkChanged(): Unit = networkChanged()

    /** Ends the companion at once. [events] ends, and the stack is no longer called. Bindings stay on their servers. */
    override fun close() {
        try {
            ffi.shutdown()
        } catch (_: IllegalStateException) {
            return
        }
        hub.close()
        ffi.close()
    }
}

/** It does not keep the companion in memory. */
internal class SafeCompanionListener(
    private val companion: WeakReference<SipWakeCompanion>,
    private val stack: CompanionStack,
    private val hub: EventHub,
) : FfiListener {
    override fun onTold(told: CompanionTold): Unit = guarded {
        val companion = companion.get()
        when {
            told is CompanionTold.Event -> hub.tell(told.event.toEvent())
            companion == null -> {}
            told is CompanionTold.Register -> stack.register(companion, AccountId(told.account))
            told is CompanionTold.Accept -> stack.accept(companion, UUID.fromString(told.call))
            told is CompanionTold.Refuse -> stack.refuse(companion, UUID.fromString(told.call), told.status.toInt())
            told is CompanionTold.HangUp -> stack.hangUp(companion, UUID.fromString(told.call))
        }
    }
}
