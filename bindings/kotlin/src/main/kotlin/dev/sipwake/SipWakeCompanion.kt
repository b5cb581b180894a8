package dev.sipwake

import java.lang.ref.WeakReference
import java.util.UUID
import kotlinx.coroutines.flow.Flow
import dev.sipwake.ffi.CompanionListener as FfiListener
import dev.sipwake.ffi.CompanionTold
import dev.sipwake.ffi.PushPayload as FfiPayload
import dev.sipwake.ffi.SipWakeCompanion as FfiCompanion
import dev.sipwake.ffi.parsePush as ffiParsePush

/**
 * Keeps beside another SIP stack, which registers and takes the calls, what push needs of a [SipWakeClient]: what each REGISTER must
 * say, what its answer means, which push belongs to which INVITE, and that a log-out is delivered. Opens no socket. `docs/beside.md` says
 * which promise depends on the stack, and what that must not do.
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
 * Nothing here suspends or waits for a network; what is to be stored is stored on the caller's thread before a call returns. Not to be
 * called from inside of the [store][StateStore]. One client or companion at a time to a store: [close] what is no longer used.
 *
 * @param store where records are kept: the client's own, so that an app may change from one to the other
 * @param stack the app's SIP stack, which is asked from here on: first for log-outs that an earlier process could not deliver
 * @param accounts the accounts of the logged-in users. Their transport is the stack's: what others can read does not get `X-PIID`
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
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD], which names the field and the rule
     */
    public fun addAccount(setup: AccountSetup): AccountId = translating { AccountId(ffi.addAccount(setup.toFfi())) }

    /**
     * Tells the other stack's own Contact URI, whenever that changes. Where the stack does not show it, the registrar's list does.
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
     * Ends push and stays registered. From here on no push makes a sound.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun unbindPush(account: AccountId): Kept = translating { ffi.unbindPush(account.value).named() }

    /**
     * Logs the user out: stored before this returns, unless it says [Kept.NOT_YET_DURABLE]. [pending] names the log-out, in later processes
     * too, until an answer that was [heard] ends it ([SipWakeEvent.LoggedOut]). From here on no push makes a sound.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun logOut(account: AccountId): Kept = translating { ffi.logOut(account.value).named() }

    /** The log-outs that are not over. */
    public fun pending(): List<PendingLogOut> = translating { ffi.pending().map { it.toPending() } }

    /**
     * Takes another realm for `X-PIID` than the one that it was pinned to, of which [SipWakeEvent.Warning] told.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD], [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun acceptRealm(account: AccountId, realm: String): Kept = translating { ffi.acceptRealm(account.value, realm).named() }

    /**
     * Says that the server may hold what no record tells of, as after an update from an app without sipwake: a log-out is then sent even
     * where nothing was registered.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun assumeBound(account: AccountId): Unit = translating { ffi.assumeBound(account.value) }

    /**
     * Returns what the stack's next REGISTER must say: the same again until it is answered, or something is wished otherwise. Ask before
     * each REGISTER. All that this depends on is stored.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_ACCOUNT], or [ErrorKind.NO_SUCH_REGISTER] where only gateways that were left
     * still hold something
     */
    public fun registerTags(account: AccountId): CompanionRegister = translating { ffi.registerTags(account.value).toRegister() }

    /** Returns the REGISTERs that take bindings back at gateways that were left, for a stack that can reach them. */
    public fun registersElsewhere(): List<CompanionRegister> = translating { ffi.registersElsewhere().map { it.toRegister() } }

    /**
     * Tells under which Call-ID and CSeq the stack has sent a REGISTER, where it shows that: its answer is known by it.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_REGISTER] for a number that was never given, or is answered
     */
    public fun sent(account: AccountId, register: Long, callId: String, cseq: Long): Unit = translating {
        ffi.sent(account.value, register.toULong(), callId, cseq.coerceIn(0, UInt.MAX_VALUE.toLong()).toUInt())
    }

    /**
     * Takes a response to a REGISTER of the stack, and says what follows from it.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for what is no response (`status`, `headers`),
     * [ErrorKind.NO_SUCH_REGISTER] where no tags were taken, [ErrorKind.NO_SUCH_ACCOUNT]. Nothing was changed then.
     */
    public fun heard(account: AccountId, response: RegisterResponse): CompanionAnswer =
        translating { ffi.heard(account.value, response.toFfi()).toAnswer() }

    /** As the other [heard], for a whole response as it came over the wire. */
    public fun heard(account: AccountId, response: ByteArray, register: Long? = null): CompanionAnswer =
        translating { ffi.heardMessage(account.value, register?.toULong(), response).toAnswer() }

    override fun push(data: Map<String, String>, channel: Channel, hints: PushHints): PushAction = push(fields(data), channel, hints)

    override fun push(json: ByteArray, channel: Channel, hints: PushHints): PushAction = push(FfiPayload.Json(json), channel, hints)

    private fun push(payload: FfiPayload, channel: Channel, hints: PushHints): PushAction = try {
        translating { ffi.push(payload, channel.named(), hints.toFfi()) }
    } catch (_: SipWakeException) {
        // Closed: the push is only read.
        ffiParsePush(payload, channel.named(), hints.toFfi(), null)
    }.toAction()

    /**
     * An INVITE came to the stack, for this account: says whether it rings, and under which name. Ask before it rings.
     *
     * @param headers all of its header fields, or at least `From`, `Call-ID`, and where it has them `P-Asserted-Identity`, `X-Push-ID`
     * and their like
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] (`headers`), [ErrorKind.NO_SUCH_ACCOUNT]
     */
    public fun invited(account: AccountId, headers: List<Pair<String, String>>): CompanionInvite =
        translating { ffi.invited(account.value, named(headers)).toInvite() }

    /**
     * The user wants to answer, at any moment from the push on. Where the INVITE is here [CompanionStack.accept] is called; else [invited]
     * says so when it comes.
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
     * The user declines a call that rings or was announced: [CompanionStack.refuse] is called, and an INVITE that comes later hears the
     * same.
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for a call that is over or answered
     */
    public fun decline(call: UUID, how: DeclineHow = DeclineHow.EVERYWHERE): Unit = translating { ffi.decline("$call", how.named()) }

    /**
     * The user ends a call, whatever its state: [CompanionStack.hangUp] is called where it was answered, else [CompanionStack.refuse].
     *
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for a call that is over
     */
    public fun hangUp(call: UUID, why: HangUp = HangUp.Normal): Unit = translating { ffi.hangUp("$call", why.toFfi()) }

    /**
     * A CANCEL came to the stack, which answers its INVITE with 487. Returns how the call ended; null while another INVITE of it rings.
     *
     * @param headers the CANCEL's, of which `Reason` tells whether the call was answered elsewhere (RFC 3326)
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for a call that is over or answered
     */
    public fun cancelled(call: UUID, headers: List<Pair<String, String>> = emptyList()): EndReason? =
        translating { ffi.cancelled("$call", named(headers))?.named<EndReason>() }

    /**
     * Another device of the user has answered: the server has said so in another way than a CANCEL.
     *
     * @throws SipWakeException as [ended]
     */
    public fun answeredElsewhere(call: UUID): Unit = translating { ffi.answeredElsewhere("$call") }

    /**
     * The call is over at the stack. From here on no late push or INVITE of it makes a sound.
     *
     * @param status the SIP status that says why, for [EndReason.FAILED] only
     * @throws SipWakeException of the kind [ErrorKind.NO_SUCH_CALL], also for a call that is over: an end is told once
     */
    public fun ended(call: UUID, how: EndReason, status: Int? = null): Unit =
        translating { ffi.ended("$call", how.named(), status?.let(::statusOf)) }

    /**
     * Returns the public part of this phone's key for sealed pushes. See [SipWakeClient.pushKey].
     *
     * @throws SipWakeException of the kind [ErrorKind.STORE] while the store is shut or fails
     */
    public fun pushKey(): PushKey = translating { ffi.pushKey().toPushKey() }

    /** Sets how long an announced call is waited for; what concerns answers is the stack's. */
    public fun setCallPolicy(policy: CallPolicy): Unit = translating { ffi.setCallPolicy(policy.toFfi()) }

    /** Says that the device's network changed: the stack is asked to register again. */
    public fun networkChanged(): Unit = translating { ffi.networkChanged() }

    /** Says that the store can be read and written again: the phone was unlocked. */
    public fun storeAvailable(): Unit = translating { ffi.storeAvailable() }

    /** Returns why the phone rang, or did not, as JSON. See [SipWakeClient.report]. */
    public fun report(phone: PhoneState? = null): String = translating { ffi.report(phone?.toFfi()) }

    override suspend fun takeToken(account: AccountId, token: String) {
        setToken(account, token)
    }

    override suspend fun tellNetworkChanged(): Unit = networkChanged()

    /** Ends the companion at once: [events] ends, and the stack is no longer asked. Bindings stay on their servers. */
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

/** Does not keep the companion. */
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
