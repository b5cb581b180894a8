package dev.sipwake.sample

import dev.sipwake.AccountId
import dev.sipwake.AccountSetup
import dev.sipwake.ClientOptions
import dev.sipwake.EndReason
import dev.sipwake.MockGateway
import dev.sipwake.Priority
import dev.sipwake.PushHints
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeEvent
import dev.sipwake.Standing
import dev.sipwake.StateStore
import dev.sipwake.TraceListener
import dev.sipwake.Transport
import dev.sipwake.android.InactiveMedia
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.logic.Call
import dev.sipwake.sample.logic.Field
import dev.sipwake.sample.logic.Line
import dev.sipwake.sample.logic.Phase
import dev.sipwake.sample.logic.Registering
import dev.sipwake.sample.logic.Sample
import dev.sipwake.sample.logic.SampleState
import dev.sipwake.sample.logic.Settings
import dev.sipwake.sample.logic.TraceLog
import dev.sipwake.sample.logic.Words
import java.time.Instant
import java.util.UUID
import java.util.concurrent.ConcurrentHashMap
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

const val TOKEN = "c-10-ap_Kt0:APA91bTokenOfThisPhone0001"
internal const val PATIENCE_MS = 120_000L

private class Memory : StateStore {
    val records = ConcurrentHashMap<String, ByteArray>()
    override fun load(key: String): ByteArray? = records[key]
    override fun save(key: String, bytes: ByteArray) {
        records[key] = bytes
    }

    override fun remove(key: String) {
        records.remove(key)
    }
}

/** The line of a desktop program: a client, and inactive media. On a phone it is the SDK's `SipWakePhone`. */
private class Bare(store: StateStore, trace: TraceLog, scope: CoroutineScope) : Line, AutoCloseable {
    val client = SipWakeClient(store, listOfNotNull(Settings.savedIn(store)?.setup()), options = ClientOptions(trace = TraceListener(trace::add)))
    private val ringing = ConcurrentHashMap.newKeySet<UUID>()

    init {
        scope.launch(start = CoroutineStart.UNDISPATCHED) {
            client.events.collect { event ->
                if (event is SipWakeEvent.CallRinging) ringing += event.uuid
                if (event is SipWakeEvent.CallAnswerWanted) {
                    ringing -= event.uuid
                    client.accept(event.uuid, InactiveMedia.answer(event.offer))
                }
            }
        }
    }

    override suspend fun client(): SipWakeClient = client

    override suspend fun logIn(setup: AccountSetup): AccountId = client.addAccount(setup).also {
        client.setToken(it, TOKEN)
        client.register(it)
    }

    override suspend fun logOut(account: AccountId) {
        client.logOut(account)
    }

    override suspend fun setDoNotDisturb(account: AccountId, until: Instant?) {
        client.setDoNotDisturb(account, until)
    }

    override suspend fun answer(call: UUID): Unit = client.answer(call)
    override suspend fun hangUp(call: UUID): Unit = if (ringing.remove(call)) client.decline(call) else client.hangUp(call)
    override fun close(): Unit = client.close()
}

/** One run of the app, from its start to the moment the system kills it. */
private class Run(store: StateStore) : AutoCloseable {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default.limitedParallelism(1))
    private val trace = TraceLog()
    private val line = Bare(store, trace, scope)
    val client get() = line.client
    val app = Sample(store, line, trace, scope)

    suspend fun until(what: String, wanted: (SampleState) -> Boolean): SampleState = try {
        withTimeout(PATIENCE_MS) { app.state.first(wanted) }
    } catch (late: kotlinx.coroutines.TimeoutCancellationException) {
        throw AssertionError("not seen: $what, but ${app.state.value}", late)
    }

    override fun close() {
        line.close()
        scope.cancel()
    }
}

fun settings(gateway: MockGateway) =
    Settings(gateway.address, "sip:alice@mock.example", "wonderland", transport = Transport.TCP, project = "com.example.app")

class StoryTest {
    @Test
    fun `settings, verdict, push, ringing, answered, connected, ended, logged out`() = runBlocking<Unit> {
        val store = Memory()
        MockGateway("mizutech").use { gateway ->
            Run(store).use { app ->
                app.app.dispatch(Action.Edited(settings(gateway)))
                app.app.dispatch(Action.LogInTapped)
                val shown = app.until("a verdict") { it.registering is Registering.Done }
                // Mizutech's gateway sends pushes and never says so.
                assertEquals(Standing.UNCONFIRMED, (shown.registering as Registering.Done).verdict.standing)
                assertEquals("Registered: the server may push", Words.standing(shown.registering))
                assertEquals("sip:alice@mock.example", shown.user?.address)
            }
            gateway.sleep()
            val call = gateway.placeCall()
            val push = gateway.nextPush()
            Run(store).use { answerAndLogOut(it, gateway, call, push) }
            assertNull(store.records["sample-settings"], "the password is gone")
            assertTrue(gateway.bindings().isEmpty(), "the gateway has forgotten the user")
            assertEquals(0, gateway.violations().size, "${gateway.violations()}")
            Run(store).use { assertNull(it.app.state.value.user, "the next start is logged out") }
        }
    }

    private suspend fun answerAndLogOut(run: Run, gateway: MockGateway, call: Long, push: Map<String, String>) {
        run.until("its user") { it.user != null }
        val high = PushHints(deliveredPriority = Priority.HIGH, originalPriority = Priority.HIGH)
        val action = run.client.push(push, hints = high)

        run.until("ringing") { it.call(action.uuid)?.phase == Phase.RINGING }
        gateway.waitCall(call, "ringing")
        run.app.dispatch(Action.AnswerTapped(action.uuid))
        run.until("connected") { it.call(action.uuid)?.phase == Phase.CONNECTED }
        gateway.waitCall(call, "answered")

        run.app.dispatch(Action.HangUpTapped(action.uuid))
        val over = run.until("ended") { it.calls.isEmpty() && it.past.isNotEmpty() }
        assertEquals(EndReason.HUNG_UP, over.past.single().reason)
        assertNotNull(over.past.single().talked)
        gateway.waitCall(call, "hung_up_by_callee")
        // The trace arrives on another thread.
        withTimeout(PATIENCE_MS) { while ("BYE sip:" !in run.app.trace.export()) delay(20) }
        val trace = run.app.trace.export()
        assertTrue("INVITE sip:" in trace, "the trace holds the call: $trace")
        assertTrue(TOKEN !in trace && "wonderland" !in trace, "the trace holds no secret")

        run.app.dispatch(Action.LogOutTapped)
        assertNull(run.app.state.value.user)
        run.until("forgotten") { it.notice == "The server has forgotten sip:alice@mock.example." }
        run.client.push(push, hints = high)
        assertTrue(run.app.state.value.calls.isEmpty(), "a late push shows no ghost")
    }

    @Test
    fun `do not disturb unbinds the token, survives the process and ends by the same switch`() = runBlocking<Unit> {
        val store = Memory()
        MockGateway("mizutech").use { gateway ->
            suspend fun bound(tokens: List<String>) = withTimeout(PATIENCE_MS) { while (gateway.tokens() != tokens) delay(20) }
            Run(store).use { run ->
                run.app.dispatch(Action.Edited(settings(gateway)))
                run.app.dispatch(Action.LogInTapped)
                run.until("registered") { it.registering is Registering.Done }
                bound(listOf(TOKEN))
                run.app.dispatch(Action.DoNotDisturbTapped(true))
                run.until("quiet") { it.quietUntil != null }
                bound(emptyList())
                assertEquals(1, gateway.bindings().size, "it stays registered")
            }
            Run(store).use { run ->
                run.until("still quiet") { it.quietUntil != null }
                run.app.dispatch(Action.DoNotDisturbTapped(false))
                run.until("over") { it.quietUntil == null }
                bound(listOf(TOKEN))
            }
        }
    }

    @Test
    fun `an answer tapped before the INVITE takes effect when it comes`() = runBlocking<Unit> {
        val store = Memory()
        MockGateway("mizutech").use { gateway ->
            Run(store).use { app ->
                app.app.dispatch(Action.Edited(settings(gateway)))
                app.app.dispatch(Action.LogInTapped)
                app.until("registered") { it.registering is Registering.Done }
            }
            gateway.sleep()
            val call = gateway.placeCall()
            val push = gateway.nextPush()
            Run(store).use { app ->
                val action = app.client.push(push, hints = PushHints(deliveredPriority = Priority.HIGH))
                app.app.dispatch(Action.AnswerTapped(action.uuid))
                app.until("connected") { it.call(action.uuid)?.phase == Phase.CONNECTED }
                gateway.waitCall(call, "answered")
                app.app.dispatch(Action.LogOutTapped)
                app.until("forgotten") { it.notice?.startsWith("The server has forgotten") == true }
            }
        }
    }

    @Test
    fun `a declined call ends for both sides`() = runBlocking<Unit> {
        MockGateway("mizutech").use { gateway ->
            Run(Memory()).use { app ->
                app.app.dispatch(Action.Edited(settings(gateway)))
                app.app.dispatch(Action.LogInTapped)
                app.until("registered") { it.registering is Registering.Done }
                val call = gateway.placeCall()
                val ringing = app.until("ringing") { it.shown?.phase == Phase.RINGING }.shown
                assertIs<Call>(ringing)
                app.app.dispatch(Action.HangUpTapped(ringing.uuid))
                val over = app.until("declined") { it.calls.isEmpty() }
                assertEquals(EndReason.DECLINED, over.past.single().reason)
                gateway.waitCall(call, "rejected")
            }
        }
    }

    @Test
    fun `a refusal of the SDK is shown beside its field`() = runBlocking<Unit> {
        val good = Settings("gw.example.com:5060", "sip:alice@example.com", "secret", project = "com.example.app")
        val wrong = listOf(
            Field.ADDRESS to good.copy(address = "alice"),
            Field.SERVER to good.copy(server = "gw example com"),
            Field.PASSWORD to good.copy(password = "a\r\nb"),
            Field.LOGIN to good.copy(login = "a\"\u0000b"),
            Field.PROJECT to good.copy(project = ""),
        )
        Run(Memory()).use { app ->
            for ((field, settings) in wrong) {
                app.app.dispatch(Action.Edited(settings))
                app.app.dispatch(Action.LogInTapped)
                val problem = assertNotNull(app.until("a problem with $field") { it.problem != null }.problem)
                assertEquals(field, problem.field, problem.reason)
                assertNull(app.app.state.value.user)
            }
        }
    }
}
