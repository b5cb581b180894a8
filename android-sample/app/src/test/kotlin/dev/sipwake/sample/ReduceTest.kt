package dev.sipwake.sample

import dev.sipwake.AccountId
import dev.sipwake.Caller
import dev.sipwake.EndReason
import dev.sipwake.SessionDescription
import dev.sipwake.SipWakeEvent
import dev.sipwake.TracedMessage
import dev.sipwake.android.InactiveMedia
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.logic.Call
import dev.sipwake.sample.logic.Effect
import dev.sipwake.sample.logic.Field
import dev.sipwake.sample.logic.Phase
import dev.sipwake.sample.logic.Problem
import dev.sipwake.sample.logic.Registering
import dev.sipwake.sample.logic.SampleState
import dev.sipwake.sample.logic.Settings
import dev.sipwake.sample.logic.TraceLog
import dev.sipwake.sample.logic.User
import dev.sipwake.sample.logic.Words
import dev.sipwake.sample.logic.reduce
import java.time.Instant
import java.time.ZoneOffset
import java.util.UUID
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

private val alice = User(AccountId("0123456789abcdef"), "sip:alice@example.com")
private val loggedIn = SampleState(user = alice)
private val one = UUID(0, 1)
private val two = UUID(0, 2)

private fun announced(call: UUID) =
    Action.Happened(SipWakeEvent.CallAnnounced(call, alice.account, Caller("1234", null)))

private fun ringing(call: UUID) =
    Action.Happened(SipWakeEvent.CallRinging(call, alice.account, Caller("sip:bob@example.com", "Bob"), true, null))

private fun ended(call: UUID, reason: EndReason = EndReason.CANCELLED) =
    Action.Happened(SipWakeEvent.CallEnded(call, alice.account, reason))

private fun run(state: SampleState, vararg actions: Action): Pair<SampleState, List<Effect>> =
    actions.fold(state to emptyList()) { (now, effects), action -> reduce(now, action).let { it.state to effects + it.effects } }

class ReduceTest {
    @Test
    fun `the switch asks the SDK and shows what the SDK says`() {
        val until = Instant.parse("2026-11-30T12:00:00Z")
        val (asked, effects) = run(loggedIn, Action.DoNotDisturbTapped(true))
        assertEquals(listOf<Effect>(Effect.SetDoNotDisturb(alice.account, true)), effects)
        assertNull(asked.quietUntil, "not before it is done")
        val (quiet, _) = run(asked, Action.QuietChanged(until))
        assertEquals(until, quiet.quietUntil)
        assertEquals("Do not disturb until 12:00", Words.quiet(until, ZoneOffset.UTC))
        assertNull(run(quiet, Action.Happened(SipWakeEvent.DoNotDisturbOver(alice.account))).first.quietUntil)
        assertEquals(SampleState() to emptyList<Effect>(), run(SampleState(), Action.DoNotDisturbTapped(true), Action.QuietChanged(until)))
        assertNull(run(quiet, Action.LogOutTapped).first.quietUntil)
    }

    @Test
    fun `an early answer stays one when the INVITE comes`() {
        val (state, effects) = run(loggedIn, announced(one), Action.AnswerTapped(one), ringing(one))
        assertEquals(Call(one, "sip:bob@example.com", "Bob", Phase.ANSWERING), state.shown)
        assertEquals(listOf<Effect>(Effect.Answer(one)), effects)
    }

    @Test
    fun `answering twice asks the SDK once`() {
        val (_, effects) = run(loggedIn, ringing(one), Action.AnswerTapped(one), Action.AnswerTapped(one))
        assertEquals(1, effects.count { it is Effect.Answer })
    }

    @Test
    fun `an answer that is faster than the event of its call still reaches the SDK`() {
        assertEquals(listOf<Effect>(Effect.Answer(one)), run(loggedIn, Action.AnswerTapped(one)).second)
    }

    @Test
    fun `settings that are refused leave nobody logged in`() {
        val (state, _) = run(SampleState(), Action.LoggedIn(alice), Action.Refused(Problem(Field.ADDRESS, "no")))
        assertEquals(null to Registering.Off, state.user to state.registering)
    }

    @Test
    fun `a waiting call is shown over the one that the user is in`() {
        val connected = Action.Happened(SipWakeEvent.CallConnected(one, alice.account, null))
        val (state, _) = run(loggedIn, ringing(one), connected, ringing(two))
        assertEquals(two, state.shown?.uuid)
        assertEquals(one, run(state, ended(two)).first.shown?.uuid)
    }

    @Test
    fun `logging out removes every call and keeps no password`() {
        val before = run(loggedIn.copy(settings = Settings(password = "secret")), ringing(one), ringing(two)).first
        val (state, effects) = run(before, Action.LogOutTapped, ringing(one))
        assertNull(state.user)
        assertEquals("", state.settings.password)
        assertTrue(state.calls.isEmpty(), "a late event brings no call back")
        assertEquals(listOf<Effect>(Effect.LogOut(alice.account)), effects)
    }

    @Test
    fun `only the last twenty calls are kept`() {
        val calls = (1L..30).flatMap { listOf(ringing(UUID(1, it)), ended(UUID(1, it))) }
        val past = run(loggedIn, *calls.toTypedArray()).first.past
        assertEquals((30L downTo 11).map { UUID(1, it) }, past.map { it.uuid })
    }

    @Test
    fun `settings are read back as they were written, and garbage is not`() {
        val settings = Settings("gw:5060", "sip:al:ice@example.com", "p=ä\\n #!", "al", project = "x")
        assertEquals(settings, Settings.of(settings.toBytes()))
        assertNull(Settings.of(byteArrayOf(0, 1, 2)))
        assertNull(Settings.of("\\uZZZZ".toByteArray()))
        assertTrue("p=ä" !in "$settings${SampleState(settings)}", "no password in what may be logged")
    }

    @Test
    fun `the trace forgets the oldest and is exported in order`() {
        val log = TraceLog(limit = 3, characters = 100)
        fun message(number: Int, text: String) = TracedMessage(Instant.ofEpochSecond(number.toLong()), number % 2 == 0, 1, text)
        (1..5).forEach { log.add(message(it, "OPTIONS $it\r\n\r\n")) }
        assertEquals(listOf("OPTIONS 3", "OPTIONS 4", "OPTIONS 5"), log.export().lines().filter { it.startsWith("OPTIONS") })
        log.add(message(6, "x".repeat(1000)))
        assertEquals(1, log.newest(10).size, "what is large leaves room for nothing else")
    }

    @Test
    fun `an answer has as many media as its offer, all of them inactive`() {
        val offer = SessionDescription("v=0\r\nm=audio 4000 RTP/AVP 8 0\r\na=sendrecv\r\nm=video 4002 RTP/AVP 96\r\nm=audio 0 RTP/AVP 9\r\n")
        val lines = InactiveMedia.answer(offer).text.lines()
        assertEquals(listOf("m=audio 9 RTP/AVP 8 0", "m=video 0 RTP/AVP 96", "m=audio 0 RTP/AVP 9"), lines.filter { it.startsWith("m=") })
        assertEquals(3, lines.count { it == "a=inactive" })
        assertEquals(1, InactiveMedia.answer(null).text.lines().count { it.startsWith("m=audio 9 ") })
    }
}
