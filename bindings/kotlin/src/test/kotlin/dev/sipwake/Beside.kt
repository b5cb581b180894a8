package dev.sipwake

import java.util.UUID
import java.util.concurrent.ConcurrentHashMap
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.Channel as Queue
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeout

// docs:beside
/** Connects a stack and the companion. It uses the functions of UdpStack; your stack has others. */
class Beside(private val stack: UdpStack, private val account: AccountId) : CompanionStack {
    private val invites = ConcurrentHashMap<UUID, SipMessage>()

    fun attach(companion: SipWakeCompanion) {
        stack.onInvite = { invite -> invited(companion, invite) }
        stack.onEnd = { request -> over(companion, request) }
    }

    override fun register(companion: SipWakeCompanion, account: AccountId) {
        val say = companion.registerTags(account)
        stack.register(say) { heard(companion, account, say, it) }
    }

    private fun heard(companion: SipWakeCompanion, account: AccountId, say: CompanionRegister, response: Response) {
        val answer = companion.heard(account, RegisterResponse(response.status, response.headers, response.phrase, say.number))
        when (val next = answer.next) {
            CompanionNext.Again -> register(companion, account)
            is CompanionNext.Authenticate -> {
                val challenge = response.headers.first { it.first.equals("WWW-Authenticate", ignoreCase = true) }.second
                val now = companion.registerTags(account)
                stack.register(now, challenge, next.digestUri) { heard(companion, account, now, it) }
            }
            else -> {} // the companion asks again later
        }
    }

    private fun invited(companion: SipWakeCompanion, invite: SipMessage) {
        // Locked until the INVITE is stored: the user may answer at once, and `accept` is called on another thread.
        val says = synchronized(invites) {
            companion.invited(account, invite.headers).also { says ->
                if (says is CompanionInvite.Ring) invites[says.call] = invite
                if (says is CompanionInvite.Accept) invites[says.call] = invite
            }
        }
        when (says) {
            is CompanionInvite.Ring -> stack.respond(invite, 180)
            is CompanionInvite.Accept -> accept(companion, says.call)
            is CompanionInvite.Refuse -> stack.respond(invite, says.status)
        }
    }

    override fun accept(companion: SipWakeCompanion, call: UUID) {
        stack.respond(synchronized(invites) { invites.getValue(call) }, 200)
        companion.answered(call)
    }

    override fun refuse(companion: SipWakeCompanion, call: UUID, status: Int) {
        invites.remove(call)?.let { stack.respond(it, status) }
    }

    override fun hangUp(companion: SipWakeCompanion, call: UUID) {
        invites.remove(call)?.let(stack::bye)
        companion.ended(call, EndReason.HUNG_UP)
    }

    private fun over(companion: SipWakeCompanion, request: SipMessage) {
        val (call, invite) = invites.entries.find { it.value.header("Call-ID") == request.header("Call-ID") } ?: return
        invites.remove(call)
        if (request.method == "BYE") return companion.ended(call, EndReason.HUNG_UP_BY_CALLER)
        stack.respond(invite, 487)
        companion.cancelled(call, request.headers)
    }
}
// docs:end

/** One run of an app with a stack, from its start until the system kills it. */
class BesideApp(store: StateStore, gateway: MockGateway, setup: AccountSetup?, credentials: Credentials, deaf: Boolean = false) : AutoCloseable {
    val account = alice(gateway).account.id()
    val stack = UdpStack(gateway.address, "alice", credentials, "alice-of-${gateway.address}")
    private val beside = Beside(stack, account)
    val companion = SipWakeCompanion(store, if (deaf) NoStack else beside, listOfNotNull(setup)).also(beside::attach)
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private val events = Queue<SipWakeEvent>(Queue.UNLIMITED)

    init {
        if (setup != null) companion.standsAt(account, stack.contact)
        scope.launch { companion.events.collect(events::send) }
    }

    fun register(): Unit = beside.register(companion, account)

    suspend inline fun <reified E : SipWakeEvent> next(): E = wait { it is E } as E

    suspend fun wait(wanted: (SipWakeEvent) -> Boolean): SipWakeEvent = withTimeout(PATIENCE_MS) {
        var event = events.receive()
        while (!wanted(event)) {
            check(event !is SipWakeEvent.ListenerFailed && event !is SipWakeEvent.RegistrationFailed) { "$event" }
            event = events.receive()
        }
        event
    }

    override fun close() {
        companion.close()
        stack.close()
        scope.cancel()
    }
}

/** A stack that does nothing. */
object NoStack : CompanionStack {
    override fun register(companion: SipWakeCompanion, account: AccountId) {}
    override fun accept(companion: SipWakeCompanion, call: UUID) {}
    override fun refuse(companion: SipWakeCompanion, call: UUID, status: Int) {}
    override fun hangUp(companion: SipWakeCompanion, call: UUID) {}
}
