package dev.sipwake

import java.time.Instant
import java.time.temporal.ChronoUnit
import java.util.UUID
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertTrue
import kotlin.time.Duration as Time
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory

class CompanionTest {
    private val password = Credentials.Password("wonderland")

    @TestFactory
    fun `a phone with a stack of its own is woken, takes the call, and its user logs out`(): List<DynamicTest> =
        listOf("mizutech", "rfc8599", "xmpush", "opensips", "kamailio").map { profile ->
            DynamicTest.dynamicTest(profile) { life(profile) }
        }

    private fun life(profile: String) = runBlocking {
        val store = Memory()
        MockGateway(profile).use { gateway ->
            val setup = alice(gateway, Transport.UDP)
            BesideApp(store, gateway, setup, password).use { app ->
                assertEquals(TokenOutcome.TAKEN, app.companion.setToken(app.account, FIRST_TOKEN))
                app.register()
                val granted = app.next<SipWakeEvent.Registered>().registration
                assertTrue(granted.verdict.standing in setOf(Standing.CONFIRMED, Standing.UNCONFIRMED), "$granted")
                awaitThat { gateway.tokens() == listOf(FIRST_TOKEN) }
            }
            gateway.sleep()
            val call = gateway.placeCall()
            val push = gateway.nextPush()
            BesideApp(store, gateway, setup, password).use { app -> wake(gateway, app, call, push) }
            BesideApp(store, gateway, setup, password, deaf = true).use { app ->
                assertEquals(Kept.DURABLE, app.companion.logOut(app.account))
                assertIs<PushAction.Ignore>(app.companion.push(push))
            }
            assertTrue(gateway.bindings().isNotEmpty(), "no REGISTER has told of it yet")
            delivered(store, gateway)
            assertEquals(0, gateway.violations().size, "${gateway.violations()}")
        }
    }

    /** The process was killed. The push reaches another one with the same store. */
    private suspend fun wake(gateway: MockGateway, app: BesideApp, call: Long, push: Map<String, String>) {
        val action = app.companion.push(push, hints = PushHints(deliveredPriority = Priority.HIGH))
        val ringing = app.next<SipWakeEvent.CallRinging>()
        // RFC 8599 gives a push no content. The push of such a server only says that something waits.
        if (action !is PushAction.RefreshBinding) {
            assertIs<PushAction.IncomingCall>(action)
            assertEquals(action.uuid, ringing.uuid, "the push and its INVITE are one call")
        }
        gateway.waitCall(call, "ringing")
        gateway.cancelCall(call)
        val ended = app.next<SipWakeEvent.CallEnded>()
        assertEquals(ringing.uuid to EndReason.CANCELLED, ended.uuid to ended.reason)
        gateway.waitCall(call, "cancelled")
        assertEquals(Duty.None, app.companion.push(push).duty, "a late push must not ring")
        assertFailsWith<SipWakeException> { app.companion.answer(ringing.uuid) }.let { assertEquals(ErrorKind.NO_SUCH_CALL, it.kind) }

        val next = gateway.placeCall()
        val second = app.next<SipWakeEvent.CallRinging>().uuid
        app.companion.answer(second)
        gateway.waitCall(next, "answered")
        assertEquals(second, app.next<SipWakeEvent.CallConnected>().uuid)
        app.companion.hangUp(second)
        gateway.waitCall(next, "hung_up_by_callee")
        assertEquals(EndReason.HUNG_UP, app.next<SipWakeEvent.CallEnded>().reason)
    }

    private suspend fun delivered(store: Memory, gateway: MockGateway) {
        val pending = SipWakeCompanion(store, NoStack).use { it.pending() }.single()
        assertEquals("sip:alice@mock.example", pending.aor)
        assertIs<Credentials.Hashes>(pending.credentials, "no password is stored")
        BesideApp(store, gateway, null, pending.credentials).use { app ->
            val out = app.next<SipWakeEvent.LoggedOut>()
            assertTrue(out.removed in setOf(Removed.PROVEN, Removed.ACCEPTED), "$out")
            assertEquals(emptyList(), app.companion.pending())
            assertTrue(gateway.bindings().isEmpty(), "the gateway has forgotten the user")
        }
        assertEquals(emptyList(), SipWakeCompanion(store, NoStack).use { it.pending() })
    }

    @Test
    fun `the page leads to a first wake-up`() = runBlocking {
        MockGateway().use { gateway ->
            val (store, setup, token) = Triple(Memory(), alice(gateway, Transport.UDP), FIRST_TOKEN)
            val mine = UdpStack(gateway.address, "alice", password, "first")
            // docs:start
            val alice = setup.account.id()
            val beside = Beside(mine, alice)
            val companion = SipWakeCompanion(store, beside, listOf(setup))
            beside.attach(companion)
            companion.standsAt(alice, mine.contact) // where the stack knows it
            companion.setToken(alice, token)
            beside.register(companion, alice)
            // docs:end
            awaitThat { gateway.tokens() == listOf(token) }
            companion.close()
            mine.close()
        }
    }

    private suspend fun awaitThat(condition: () -> Boolean): Unit = withTimeout(PATIENCE_MS) { while (!condition()) delay(20) }

    @Test
    fun `steps out of order and broken headers are errors with a kind, and change nothing`() {
        SipWakeCompanion(Memory(), NoStack, listOf(alice())).use { companion ->
            val alice = alice().account.id()
            fun refused(act: () -> Unit) = assertFailsWith<SipWakeException> { act() }.let { it.kind to it.field }
            assertEquals(ErrorKind.NO_SUCH_REGISTER to null, refused { companion.heard(alice, RegisterResponse(200)) })
            assertEquals(ErrorKind.INVALID_FIELD to "status", refused { companion.heard(alice, RegisterResponse(-1)) })
            assertEquals(ErrorKind.INVALID_FIELD to "headers", refused { companion.heard(alice, RegisterResponse(200, listOf("A" to "b\nC: d"))) })
            assertEquals(ErrorKind.INVALID_FIELD to "headers", refused { companion.invited(alice, emptyList()) })
            assertEquals(ErrorKind.INVALID_FIELD to "contact", refused { companion.standsAt(alice, "nowhere") })
            assertEquals(ErrorKind.INVALID_FIELD to "push.token", refused { companion.setToken(alice, "a b") })
            assertEquals(ErrorKind.NO_SUCH_REGISTER to null, refused { companion.sent(alice, 7, "id", 1) })
            assertEquals(ErrorKind.NO_SUCH_ACCOUNT to null, refused { companion.registerTags(AccountId("0123456789abcdef")) })
            assertEquals(ErrorKind.NO_SUCH_CALL to null, refused { companion.ended(UUID(0, 7), EndReason.HUNG_UP) })
            companion.close()
            assertEquals(ErrorKind.SHUT_DOWN to null, refused { companion.pending() })
            assertIs<PushAction.IncomingCall>(companion.push(mapOf("ntype" to "0", "nfrom" to "1")), "it is read")
        }
    }

    @Test
    fun `headers are understood as stacks print them, and an old response says nothing`() {
        SipWakeCompanion(Memory(), NoStack, listOf(alice())).use { companion ->
            val alice = alice().account.id()
            companion.setToken(alice, FIRST_TOKEN)
            val first = companion.registerTags(alice)
            companion.setToken(alice, SECOND_TOKEN)
            val second = companion.registerTags(alice)
            assertTrue(second.number > first.number)
            val headers = listOf("EXPIRES" to " 600 ", "feature-caps" to "*;+sip.pns=\"apns\",\r\n *;+sip.pns=\"fcm\"")
            assertEquals(CompanionNext.Old, companion.heard(alice, RegisterResponse(200, headers, register = first.number)).next)
            val answer = companion.heard(alice, RegisterResponse(200, headers, register = second.number))
            assertEquals(CompanionNext.Nothing to Standing.CONFIRMED, answer.next to answer.verdict?.standing)
            assertTrue(answer.expires!! > Time.ZERO && answer.refreshIn!! <= answer.expires!!, "$answer")
        }
    }

    @Test
    fun `no printed text shows a token or a password`() {
        SipWakeCompanion(Memory(), NoStack, listOf(alice())).use { companion ->
            val alice = alice().account.id()
            companion.setToken(alice, FIRST_TOKEN)
            companion.standsAt(alice, "sip:alice@192.0.2.7")
            val register = companion.registerTags(alice)
            assertTrue(register.contact!!.contains(FIRST_TOKEN))
            val response = RegisterResponse(200, listOf("Contact" to "<${register.contact}>;expires=600"), register = register.number)
            val answer = companion.heard(alice, response)
            companion.logOut(alice)
            val pending = companion.pending().single()
            assertIs<Credentials.Password>(pending.credentials)
            for (printed in listOf("$register", "$response", "$answer", "$pending", "$companion")) {
                assertTrue(FIRST_TOKEN !in printed && "wonderland" !in printed, printed)
            }
        }
    }

    @Test
    fun `do not disturb survives the process, and there is a key for sealed pushes`() {
        val (store, later) = Memory() to Instant.now().plusSeconds(3600).truncatedTo(ChronoUnit.SECONDS)
        val alice = alice().account.id()
        val call = mapOf("ntype" to "0", "nfrom" to "1234", "ncallid" to "c", "ntouser" to "alice")
        SipWakeCompanion(store, NoStack, listOf(alice())).use { companion ->
            companion.setToken(alice, FIRST_TOKEN)
            val bound = companion.registerTags(alice)
            companion.heard(alice, RegisterResponse(200, listOf("Expires" to "600"), register = bound.number))
            assertEquals(Kept.DURABLE, companion.setDoNotDisturb(alice, later))
            val without = companion.registerTags(alice)
            assertTrue(!without.removes && FIRST_TOKEN !in without.tags.uriParamsText, "registered without push")
            assertEquals(IgnoreReason.DO_NOT_DISTURB, assertIs<PushAction.Ignore>(companion.push(call)).reason)
            assertEquals(companion.pushKey(), companion.pushKey())
            assertTrue(companion.pushKey() != companion.rotatePushKey(), "another key")
            assertFailsWith<SipWakeException> { companion.importPushKey("pbx", "AAAA") }.let { assertEquals(ErrorKind.INVALID_FIELD, it.kind) }
            companion.importPushKey("pbx", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
            assertTrue(companion.forgetPushKey("pbx") && !companion.forgetPushKey("pbx"))
        }
        SipWakeCompanion(store, NoStack, listOf(alice())).use { companion ->
            assertEquals(later, companion.doNotDisturb(alice))
            assertIs<PushAction.Ignore>(companion.push(call))
            assertEquals(Kept.DURABLE, companion.setDoNotDisturb(alice, null))
            assertEquals(null, companion.doNotDisturb(alice))
            assertIs<PushAction.IncomingCall>(companion.push(call))
        }
    }
}
