package dev.sipwake

import java.util.UUID
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive

private val ANSWER = SessionDescription("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")

class CallTest {
    /** A registered phone, and a caller on the other side. */
    private fun onThePhone(test: suspend App.(MockGateway) -> Unit): Unit = runBlocking {
        MockGateway().use { gateway ->
            App(Memory(), alice(gateway)).use { app ->
                app.client.setToken(app.account, FIRST_TOKEN)
                app.client.register(app.account)
                app.next<SipWakeEvent.Registered>()
                app.test(gateway)
            }
            assertEquals(0, gateway.violations().size, "${gateway.violations()}")
        }
    }

    /** Rings, answers, accepts, and is connected. */
    private suspend fun App.takeCall(): SipWakeEvent.CallConnected {
        val uuid = next<SipWakeEvent.CallRinging>().uuid
        client.answer(uuid)
        val wanted = next<SipWakeEvent.CallAnswerWanted> { it.uuid == uuid }
        assertNotNull(wanted.offer)
        client.accept(uuid, ANSWER)
        return next { it.uuid == uuid }
    }

    @Test
    fun `a call is answered, and its caller hangs up`() = onThePhone { gateway ->
        val call = gateway.placeCall()
        val connected = takeCall()
        assertNull(connected.answer, "the answer was ours")
        gateway.waitCall(call, "answered")
        assertEquals(ANSWER.text, gateway.call(call)["answer"]?.jsonPrimitive?.content)
        gateway.ask("bye", "call" to JsonPrimitive(call))
        val ended = next<SipWakeEvent.CallEnded>()
        assertEquals(connected.uuid to EndReason.HUNG_UP_BY_CALLER, ended.uuid to ended.reason)
        assertNull(ended.status)
        val times = ended.times
        assertTrue(assertNotNull(times.talked) >= Duration.ZERO)
        val steps = listOf(times.ringing, times.answered, times.connected, times.ended).map { assertNotNull(it).sinceBoot }
        assertEquals(steps.sorted(), steps)
    }

    @Test
    fun `a call is answered, and hung up by us`() = onThePhone { gateway ->
        val call = gateway.placeCall()
        val uuid = takeCall().uuid
        client.hangUp(uuid)
        assertEquals(EndReason.HUNG_UP, next<SipWakeEvent.CallEnded>().reason)
        gateway.waitCall(call, "hung_up_by_callee")
        assertEquals(ErrorKind.NO_SUCH_CALL, assertFailsWith<SipWakeException> { client.hangUp(uuid) }.kind)
    }

    @Test
    fun `an answer before the INVITE waits for it`(): Unit = runBlocking {
        val store = Memory()
        MockGateway().use { gateway ->
            val setup = alice(gateway)
            App(store, setup).use { app ->
                app.client.setToken(app.account, FIRST_TOKEN)
                app.client.register(app.account)
                app.next<SipWakeEvent.Registered>()
            }
            gateway.sleep()
            val call = gateway.placeCall("alice", "invite_delay_ms" to JsonPrimitive(1_000))
            val push = gateway.nextPush()
            App(store, setup).use { app ->
                val uuid = app.takePush(push).uuid
                app.client.answer(uuid)
                val early = assertFailsWith<SipWakeException> { app.client.accept(uuid, ANSWER) }
                assertEquals(ErrorKind.NO_SUCH_CALL, early.kind, "there is nothing to accept yet")
                app.next<SipWakeEvent.CallAnswerWanted> { it.uuid == uuid }
                app.client.accept(uuid, ANSWER)
                val connected = app.next<SipWakeEvent.CallConnected>()
                assertEquals(uuid, connected.uuid)
                assertNotNull(connected.times.announced)
                gateway.waitCall(call, "answered")
                app.client.hangUp(uuid)
                app.next<SipWakeEvent.CallEnded>()
            }
        }
    }

    @Test
    fun `a caller without an offer gets ours, and answers it`() = onThePhone { gateway ->
        gateway.placeCall("alice", "sdp" to JsonNull)
        val ringing = next<SipWakeEvent.CallRinging>()
        assertNull(ringing.offer)
        client.accept(ringing.uuid, ANSWER)
        assertEquals(ringing.uuid, next<SipWakeEvent.CallConnected>().uuid)
    }

    @Test
    fun `a caller gives up while it rings`() = onThePhone { gateway ->
        val call = gateway.placeCall()
        next<SipWakeEvent.CallRinging>()
        gateway.ask("cancel", "call" to JsonPrimitive(call))
        val ended = next<SipWakeEvent.CallEnded>()
        assertEquals(EndReason.CANCELLED, ended.reason)
        assertNull(ended.times.connected ?: ended.times.talked)
    }

    @Test
    fun `a call is declined on all phones, or on this one`() = onThePhone { gateway ->
        for ((how, status) in listOf(DeclineHow.EVERYWHERE to 603, DeclineHow.BUSY to 486)) {
            val call = gateway.placeCall()
            client.decline(next<SipWakeEvent.CallRinging>().uuid, how)
            assertEquals(EndReason.DECLINED, next<SipWakeEvent.CallEnded>().reason)
            gateway.waitCall(call, "rejected")
            assertEquals(status, gateway.call(call)["status"]?.jsonPrimitive?.int)
        }
    }

    @Test
    fun `another phone answers`() = onThePhone { gateway ->
        val call = gateway.placeCall()
        next<SipWakeEvent.CallRinging>()
        gateway.ask("answered_elsewhere", "call" to JsonPrimitive(call))
        assertEquals(EndReason.ANSWERED_ELSEWHERE, next<SipWakeEvent.CallEnded>().reason)
    }

    @Test
    fun `a call that cannot go on tells the caller why`() = onThePhone { gateway ->
        val call = gateway.placeCall()
        client.hangUp(next<SipWakeEvent.CallRinging>().uuid, HangUp.Failed(488))
        val ended = next<SipWakeEvent.CallEnded>()
        assertEquals(EndReason.FAILED to 488, ended.reason to ended.status)
        gateway.waitCall(call, "rejected")
        assertEquals(488, gateway.call(call)["status"]?.jsonPrimitive?.int)
    }

    @Test
    fun `new media inside a call are offered, accepted once and refused once`() = onThePhone { gateway ->
        val call = gateway.placeCall()
        val uuid = takeCall().uuid
        gateway.waitCall(call, "answered")
        for ((answer, status) in listOf(ANSWER to 200, null to 488)) {
            gateway.ask("reinvite", "call" to JsonPrimitive(call), "sdp" to JsonPrimitive("v=0\r\ns=$status\r\n"))
            val offered = next<SipWakeEvent.CallOffered>()
            assertEquals("v=0\r\ns=$status\r\n", offered.offer?.text)
            client.respondOffer(uuid, answer)
            withTimeout(PATIENCE_MS) { while (gateway.statuses(call).last() != status) delay(20) }
        }
        assertEquals(ErrorKind.NO_SUCH_CALL, assertFailsWith<SipWakeException> { client.respondOffer(uuid, ANSWER) }.kind)
        client.hangUp(uuid)
        assertEquals(EndReason.HUNG_UP, next<SipWakeEvent.CallEnded>().reason)
    }

    @Test
    fun `a phone rings no longer than the app wants`() = onThePhone { gateway ->
        client.setCallPolicy(CallPolicy(ringLimit = 300.milliseconds))
        gateway.placeCall()
        next<SipWakeEvent.CallRinging>()
        assertEquals(EndReason.UNANSWERED, next<SipWakeEvent.CallEnded>().reason)
    }

    @Test
    fun `a hundred calls at once are all answered and all ended`() = onThePhone { gateway ->
        val calls = List(100) { gateway.placeCall() }
        val ended = HashSet<UUID>()
        withTimeout(PATIENCE_MS) {
            while (ended.size < calls.size) {
                when (val event = wait { it is SipWakeEvent.Call }) {
                    is SipWakeEvent.CallRinging -> client.answer(event.uuid)
                    is SipWakeEvent.CallAnswerWanted -> client.accept(event.uuid, ANSWER)
                    is SipWakeEvent.CallConnected -> client.hangUp(event.uuid)
                    is SipWakeEvent.CallEnded -> {
                        assertEquals(EndReason.HUNG_UP, event.reason)
                        assertTrue(ended.add(event.uuid), "its end was told twice")
                    }
                    else -> {}
                }
            }
        }
        calls.forEach { gateway.waitCall(it, "hung_up_by_callee") }
    }

    @Test
    fun `a session description shows none of its text, and cannot be changed`() {
        val bytes = "a=crypto:1".encodeToByteArray()
        val session = SessionDescription("application/sdp", bytes)
        assertFalse("crypto" in "$session")
        bytes[0] = 0
        session.body[0] = 0
        assertEquals(SessionDescription("a=crypto:1"), session)
    }

    private fun MockGateway.call(call: Long) = ask("call", "call" to JsonPrimitive(call))

    private fun MockGateway.statuses(call: Long): List<Int?> = call(call).getValue("responses").jsonArray
        .map { it.jsonObject }
        .filter { it["method"]?.jsonPrimitive?.contentOrNull == "INVITE" }
        .map { it["status"]?.jsonPrimitive?.int }
}
