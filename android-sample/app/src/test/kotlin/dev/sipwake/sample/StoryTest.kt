package dev.sipwake.sample

import dev.sipwake.EndReason
import dev.sipwake.MockGateway
import dev.sipwake.Priority
import dev.sipwake.PushHints
import dev.sipwake.Standing
import dev.sipwake.StateStore
import dev.sipwake.Transport
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.logic.Call
import dev.sipwake.sample.logic.CallDisplay
import dev.sipwake.sample.logic.Field
import dev.sipwake.sample.logic.Phase
import dev.sipwake.sample.logic.Phone
import dev.sipwake.sample.logic.Registering
import dev.sipwake.sample.logic.Ring
import dev.sipwake.sample.logic.SampleState
import dev.sipwake.sample.logic.Settings
import dev.sipwake.sample.logic.Words
import java.util.UUID
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
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

private class Display : CallDisplay {
    val ringing = CopyOnWriteArrayList<Call>()
    val gone = CopyOnWriteArrayList<UUID>()

    override fun startRinging(call: Call) {
        ringing += call
    }

    override fun showChange(call: Call) {}

    override fun takeAway(call: UUID) {
        gone += call
    }
}

/** One run of the app, from its start to the moment the system kills it. */
private class Run(store: StateStore) : AutoCloseable {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default.limitedParallelism(1))
    val display = Display()
    val phone = Phone(store, display, scope)

    suspend fun until(what: String, wanted: (SampleState) -> Boolean): SampleState = try {
        withTimeout(PATIENCE_MS) { phone.state.first(wanted) }
    } catch (late: kotlinx.coroutines.TimeoutCancellationException) {
        throw AssertionError("not seen: $what, but ${phone.state.value}", late)
    }

    override fun close() {
        phone.close()
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
                app.phone.tokenCame(TOKEN)
                app.phone.dispatch(Action.Edited(settings(gateway)))
                app.phone.dispatch(Action.LogInTapped)
                val shown = app.until("a verdict") { it.registering is Registering.Done }
                // Mizutech's gateway pushes and never says so.
                assertEquals(Standing.UNCONFIRMED, (shown.registering as Registering.Done).verdict.standing)
                assertEquals("Registered: the server may push", Words.standing(shown.registering))
                assertEquals("sip:alice@mock.example", shown.user?.address)
            }
            gateway.sleep()
            val call = gateway.placeCall()
            val push = gateway.nextPush()
            Run(store).use { app -> answerAndLogOut(app, gateway, call, push) }
            assertNull(store.records["sample-settings"], "the password is gone")
            assertTrue(gateway.bindings().isEmpty(), "the gateway has forgotten the user")
            assertEquals(0, gateway.violations().size, "${gateway.violations()}")
            Run(store).use { assertNull(it.phone.state.value.user, "the next start is logged out") }
        }
    }

    private suspend fun answerAndLogOut(app: Run, gateway: MockGateway, call: Long, push: Map<String, String>) {
        assertNotNull(app.phone.state.value.user, "the process that a push starts knows its user")
        app.phone.tokenCame(TOKEN)
        val high = PushHints(deliveredPriority = Priority.HIGH, originalPriority = Priority.HIGH)
        val action = app.phone.client.push(push, hints = high)
        app.phone.pushed(action)
        assertEquals(Ring.BY_SERVICE, app.display.ringing.single().ring, "it rings when the push is handed over")

        app.until("ringing") { it.call(action.uuid)?.phase == Phase.RINGING }
        gateway.waitCall(call, "ringing")
        app.phone.dispatch(Action.AnswerTapped(action.uuid))
        app.until("connected") { it.call(action.uuid)?.phase == Phase.CONNECTED }
        gateway.waitCall(call, "answered")

        app.phone.dispatch(Action.HangUpTapped(action.uuid))
        val over = app.until("ended") { it.calls.isEmpty() }
        assertEquals(EndReason.HUNG_UP, over.past.single().reason)
        assertNotNull(over.past.single().talked)
        // The state is there a moment before the display hears of it.
        withTimeout(PATIENCE_MS) { while (app.display.gone.isEmpty()) delay(20) }
        assertEquals(listOf(action.uuid), app.display.gone.toList())
        gateway.waitCall(call, "hung_up_by_callee")
        // The trace comes on a thread of its own.
        withTimeout(PATIENCE_MS) { while ("BYE sip:" !in app.phone.trace.export()) delay(20) }
        val trace = app.phone.trace.export()
        assertTrue("INVITE sip:" in trace, "the trace holds the call: $trace")
        assertTrue(TOKEN !in trace && "wonderland" !in trace, "the trace holds no secret")

        app.phone.dispatch(Action.LogOutTapped)
        assertNull(app.phone.state.value.user)
        app.until("forgotten") { it.notice == "The server has forgotten sip:alice@mock.example." }
        val late = app.phone.client.push(push, hints = high)
        app.phone.pushed(late)
        assertEquals(1, app.display.ringing.size, "a late push rings no ghost")
    }

    @Test
    fun `an answer tapped before the INVITE came is carried out`() = runBlocking<Unit> {
        val store = Memory()
        MockGateway("mizutech").use { gateway ->
            Run(store).use { app ->
                app.phone.tokenCame(TOKEN)
                app.phone.dispatch(Action.Edited(settings(gateway)))
                app.phone.dispatch(Action.LogInTapped)
                app.until("registered") { it.registering is Registering.Done }
            }
            gateway.sleep()
            val call = gateway.placeCall()
            val push = gateway.nextPush()
            Run(store).use { app ->
                val action = app.phone.client.push(push, hints = PushHints(deliveredPriority = Priority.HIGH))
                app.phone.pushed(action)
                app.phone.dispatch(Action.AnswerTapped(action.uuid))
                app.until("connected") { it.call(action.uuid)?.phase == Phase.CONNECTED }
                gateway.waitCall(call, "answered")
                app.phone.dispatch(Action.LogOutTapped)
                app.until("forgotten") { it.notice?.startsWith("The server has forgotten") == true }
            }
        }
    }

    @Test
    fun `a declined call ends for both sides`() = runBlocking<Unit> {
        MockGateway("mizutech").use { gateway ->
            Run(Memory()).use { app ->
                app.phone.tokenCame(TOKEN)
                app.phone.dispatch(Action.Edited(settings(gateway)))
                app.phone.dispatch(Action.LogInTapped)
                app.until("registered") { it.registering is Registering.Done }
                val call = gateway.placeCall()
                val ringing = app.until("ringing") { it.shown?.phase == Phase.RINGING }.shown
                assertIs<Call>(ringing)
                app.phone.dispatch(Action.DeclineTapped(ringing.uuid))
                val over = app.until("declined") { it.calls.isEmpty() }
                assertEquals(EndReason.DECLINED, over.past.single().reason)
                gateway.waitCall(call, "rejected")
            }
        }
    }

    @Test
    fun `what the SDK refuses is shown beside its field`() = runBlocking<Unit> {
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
                app.phone.dispatch(Action.Edited(settings))
                app.phone.dispatch(Action.LogInTapped)
                val problem = assertNotNull(app.until("a problem with $field") { it.problem != null }.problem)
                assertEquals(field, problem.field, problem.reason)
                assertNull(app.phone.state.value.user)
            }
        }
    }
}
