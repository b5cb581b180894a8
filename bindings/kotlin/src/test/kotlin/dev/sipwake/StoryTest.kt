package dev.sipwake

import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.serialization.json.JsonPrimitive
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory

class StoryTest {
    @TestFactory
    fun `a phone is woken for a call, and its user logs out`(): List<DynamicTest> =
        listOf("mizutech", "rfc8599", "xmpush", "opensips", "kamailio").flatMap { profile ->
            listOf(Transport.UDP, Transport.TCP).map { transport ->
                DynamicTest.dynamicTest("$profile over $transport") { story(profile, transport) }
            }
        }

    private fun story(profile: String, transport: Transport) = runBlocking {
        val store = Memory()
        MockGateway(profile).use { gateway ->
            val setup = alice(gateway, transport)
            App(store, setup).use { app ->
                assertEquals(TokenOutcome.TAKEN, app.client.setToken(app.account, FIRST_TOKEN))
                app.client.register(app.account)
                val registered = app.next<SipWakeEvent.Registered>()
                assertNotEquals(Standing.REFUSED, registered.registration.verdict.standing)
                assertEquals(FIRST_TOKEN, registered.registration.token)
            }
            gateway.sleep()

            val call = gateway.placeCall()
            val push = gateway.nextPush()
            App(store, setup).use { app -> wakeAndLogOut(gateway, app, call, push) }
            assertEquals(0, gateway.violations().size, "${gateway.violations()}")
        }
    }

    private suspend fun wakeAndLogOut(gateway: MockGateway, app: App, call: Long, push: Map<String, String>) {
        val before = gateway.lastMessage()
        val action = app.takePush(push)
        // RFC 8599 gives a push no content. The push of such a server only says that something waits.
        val bare = action is PushAction.RefreshBinding
        if (!bare) {
            assertIs<PushAction.IncomingCall>(action)
            assertEquals(Duty.StartForegroundService, action.duty)
        }
        app.next<SipWakeEvent.Registered>()
        assertEquals(1, gateway.registersReceived(before), "one REGISTER, with the nonce kept from before")
        val ringing = app.next<SipWakeEvent.CallRinging> { it.announced != bare }
        if (!bare) assertEquals(action.uuid, ringing.uuid, "the push and its INVITE are one call")

        gateway.waitCall(call, "ringing")
        gateway.ask("cancel", "call" to JsonPrimitive(call))
        val ended = app.next<SipWakeEvent.CallEnded>()
        assertEquals(ringing.uuid to EndReason.CANCELLED, ended.uuid to ended.reason)
        gateway.waitCall(call, "cancelled")
        assertEquals(Duty.None, app.takePush(push).duty, "a late push must not ring")

        app.client.setToken(app.account, SECOND_TOKEN)
        app.next<SipWakeEvent.Registered> { it.registration.token == SECOND_TOKEN }
        withTimeout(PATIENCE_MS) { while (gateway.tokens() != listOf(SECOND_TOKEN)) delay(20) }

        app.client.logOut(app.account)
        val late = app.takePush(push)
        assertIs<PushAction.Ignore>(late)
        assertEquals(IgnoreReason.LOGGED_OUT to Duty.None, late.reason to late.duty)
        val out = app.next<SipWakeEvent.LoggedOut>()
        assertTrue(out.removed in setOf(Removed.PROVEN, Removed.ACCEPTED), "$out")
        assertTrue(gateway.bindings().isEmpty(), "the gateway has forgotten the user")
    }
}
