package dev.sipwake

import java.time.Instant
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.serialization.json.JsonPrimitive

/** Do not disturb, and sealed pushes. */
class QuietAndSealedTest {
    private val shared = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

    private suspend fun bound(gateway: MockGateway, tokens: List<String>) =
        withTimeout(PATIENCE_MS) { while (gateway.tokens() != tokens || gateway.bindings().size != 1) delay(20) }

    private suspend fun register(app: App) {
        app.client.setToken(app.account, FIRST_TOKEN)
        app.client.register(app.account)
        app.next<SipWakeEvent.Registered> { it.registration.token == FIRST_TOKEN }
    }

    private suspend fun sealFor(gateway: MockGateway, app: App): PushKey = app.client.pushKey().also {
        gateway.ask("seal_for", "user" to JsonPrimitive("alice"), "p256dh" to JsonPrimitive(it.p256dh), "auth" to JsonPrimitive(it.auth))
    }

    @Test
    fun `do not disturb works in this process and the next, until it ends`() = runBlocking<Unit> {
        val store = Memory()
        MockGateway().use { gateway ->
            val until = Instant.now().plusSeconds(3600)
            val late = mapOf("ntype" to "0", "nfrom" to "1234", "nfromusername" to "John", "ncallid" to "late")
            App(store, alice(gateway)).use { app ->
                register(app)
                assertNull(app.client.doNotDisturb(app.account))
                assertEquals(Kept.DURABLE, app.client.setDoNotDisturb(app.account, until))
                val action = assertIs<PushAction.Ignore>(app.takePush(late))
                assertEquals(IgnoreReason.DO_NOT_DISTURB to Duty.None, action.reason to action.duty)
                assertNull(action.details.callerLabel, "nobody is named")
                bound(gateway, emptyList())
            }
            assertEquals(IgnoreReason.DO_NOT_DISTURB, assertIs<PushAction.Ignore>(parsePush(store, late)).reason, "before there is a client")
            App(store, alice(gateway)).use { app ->
                assertTrue(app.client.doNotDisturb(app.account)?.epochSecond in until.epochSecond..until.epochSecond + 1)
                app.client.setDoNotDisturb(app.account, Instant.now().plusMillis(1500))
                app.next<SipWakeEvent.DoNotDisturbOver>()
                bound(gateway, listOf(FIRST_TOKEN))
                assertIs<PushAction.IncomingCall>(app.takePush(late))
            }
            assertIs<PushAction.IncomingCall>(parsePush(store, late))
        }
    }

    @Test
    fun `until further notice is the latest time, and a past time is ignored`() = runBlocking<Unit> {
        App(Memory(), alice()).use { app ->
            for (past in listOf(Instant.MIN, Instant.EPOCH, Instant.now())) {
                app.client.setDoNotDisturb(app.account, past)
                assertNull(app.client.doNotDisturb(app.account), "$past")
            }
            app.client.setDoNotDisturb(app.account, Instant.MAX)
            assertEquals(Instant.MAX, app.client.doNotDisturb(app.account))
            app.client.setDoNotDisturb(app.account, null)
            assertNull(app.client.doNotDisturb(app.account))
            val error = assertFailsWith<SipWakeException> { app.client.setDoNotDisturb(AccountId("0123456789abcdef"), Instant.MAX) }
            assertEquals(ErrorKind.NO_SUCH_ACCOUNT, error.kind)
        }
    }

    @Test
    fun `a sealed call rings with its caller, with and without a client, and once`() = runBlocking<Unit> {
        val store = Memory()
        MockGateway().use { gateway ->
            App(store, alice(gateway)).use { app ->
                register(app)
                val key = sealFor(gateway, app)
                assertEquals(key, app.client.pushKey())
                assertFalse(key.auth in "$key")
            }
            gateway.sleep()
            gateway.placeCall("alice", "from" to JsonPrimitive("sip:1234@mock.example"), "display" to JsonPrimitive("Zoë"))
            val push = gateway.nextPush()
            assertEquals(setOf("sealed"), push.keys)
            assertEquals("Zoë", assertIs<PushAction.IncomingCall>(parsePush(store, push)).details.callerLabel)
            App(store, alice(gateway)).use { app ->
                val action = assertIs<PushAction.IncomingCall>(app.takePush(push))
                assertEquals("Zoë", action.details.callerLabel)
                assertFalse(action.details.unverified)
                val again = app.takePush(push)
                assertEquals(PayloadProblem.SEALED_REPLAYED to Duty.None, again.details.problem to again.duty)
                // The INVITE may come before or after the event of the second push.
                var unopened: PayloadProblem? = null
                var rings = false
                app.wait { event ->
                    if (event is SipWakeEvent.PushUnopened) unopened = event.problem
                    if (event is SipWakeEvent.CallRinging && event.uuid == action.uuid) rings = true
                    unopened != null && rings
                }
                assertEquals(PayloadProblem.SEALED_REPLAYED, unopened)
            }
            App(Memory(), alice(gateway)).use { other ->
                other.client.pushKey()
                assertEquals(PayloadProblem.SEALED_FOREIGN, other.takePush(push).details.problem)
                assertEquals(PayloadProblem.SEALED_TORN, other.takePush(mapOf("sealed" to push.getValue("sealed").take(40))).details.problem)
            }
        }
    }

    @Test
    fun `keys are rotated, imported and forgotten, and an invalid one is refused with the reason`() = runBlocking<Unit> {
        App(Memory(), alice()).use { app ->
            val before = app.client.pushKey()
            assertNotEquals(before, app.client.rotatePushKey())
            app.client.importPushKey("pbx-1", shared)
            for ((id, key) in listOf("" to shared, "a b" to shared, "pbx-1" to "AAAA", "pbx-1" to "no key")) {
                val error = assertFailsWith<SipWakeException> { app.client.importPushKey(id, key) }
                assertEquals(ErrorKind.INVALID_FIELD to "key", error.kind to error.field)
            }
            assertTrue(app.client.forgetPushKey("pbx-1"))
            assertFalse(app.client.forgetPushKey("pbx-1"))
        }
        val shut = object : StateStore {
            override fun load(key: String): ByteArray? = throw StoreShutException("locked")
            override fun save(key: String, bytes: ByteArray): Unit = throw StoreShutException("locked")
            override fun remove(key: String): Unit = throw StoreShutException("locked")
        }
        App(shut, alice()).use { app ->
            assertEquals(ErrorKind.STORE, assertFailsWith<SipWakeException> { app.client.pushKey() }.kind)
            assertEquals(Kept.NOT_YET_DURABLE, app.client.setDoNotDisturb(app.account, Instant.MAX))
        }
    }
}
