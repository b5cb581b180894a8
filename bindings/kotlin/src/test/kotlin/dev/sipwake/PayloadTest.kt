package dev.sipwake

import java.util.UUID
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.seconds

class PayloadTest {
    private val data = mapOf(
        "ntype" to "0",
        "nfrom" to "1234",
        "nfromusername" to "John",
        "ntouser" to "alice",
        "ncallid" to "c1@example.com",
    )

    @Test
    fun `FCM's data is a call`() {
        val action = assertIs<PushAction.IncomingCall>(parsePush(data))
        assertEquals("John", action.details.callerLabel)
        assertEquals("alice", action.details.account)
        assertEquals(Vendor.MIZUTECH, action.details.vendor)
        assertTrue(action.timeLeft in 39.seconds..40.seconds, "${action.timeLeft}")
        assertEquals(action.uuid, parsePush(data + ("nfromusername" to "Johnny")).uuid)
    }

    @Test
    fun `each kind of push is told apart`() {
        assertEquals("see you", assertIs<PushAction.Chat>(parsePush(data + mapOf("ntype" to "1", "nmsg" to "see you"))).details.text)
        assertEquals(parsePush(data).uuid, assertIs<PushAction.Cancel>(parsePush(data + ("ntype" to "2"))).uuid)
        assertEquals("3", assertIs<PushAction.Custom>(parsePush(data + ("ntype" to "3"))).type)
        assertIs<PushAction.RefreshBinding>(parsePush(data + ("ntype" to "4")))
        assertEquals("brew", assertIs<PushAction.Custom>(parsePush(data + ("ntype" to "brew"))).type)
    }

    @Test
    fun `the priority decides between a service and a notification`() {
        fun duty(delivered: Priority?, state: AppState? = null) =
            parsePush(data, hints = PushHints(null, delivered, Priority.HIGH, state)).duty
        assertEquals(Duty.StartForegroundService, duty(Priority.HIGH))
        assertEquals(Duty.ShowNotification(fullScreen = true), duty(Priority.NORMAL))
        assertEquals(Duty.ShowNotification(fullScreen = true), duty(null))
        assertEquals(Duty.StartForegroundService, duty(Priority.NORMAL, AppState.FOREGROUND))
        assertTrue(parsePush(data, hints = PushHints(null, Priority.NORMAL, Priority.HIGH, null)).details.downgraded)
    }

    @Test
    fun `every payload of the platform gives an action`() {
        val random = Random(4)
        val garbage = random.nextBytes(4096)
        assertIs<PushAction.Ignore>(parsePush(garbage, Channel.FCM_ANDROID))
        val unknown = assertIs<PushAction.IncomingCall>(parsePush(garbage, Channel.PUSH_KIT))
        assertEquals(Duty.ReportCall, unknown.duty)
        assertNull(unknown.details.callerLabel)
        assertEquals(PayloadProblem.UNREADABLE, unknown.details.problem)

        assertIs<PushAction.RefreshBinding>(parsePush(emptyMap()))
        @Suppress("UNCHECKED_CAST")
        val raw = mapOf("ntype" to 0, "nfrom" to 1234, "nmsg" to null, null to "x") as Map<String, String>
        assertEquals("1234", assertIs<PushAction.IncomingCall>(parsePush(raw)).details.caller)
        repeat(200) {
            parsePush(random.nextBytes(random.nextInt(200)), Channel.entries.random(random))
            parsePush(mapOf("ntype" to String(random.nextBytes(20)), "nfrom" to "\ud800"))
        }
    }

    @Test
    fun `toString shows no text`() {
        val chat = parsePush(data + mapOf("ntype" to "1", "nmsg" to "my secret"))
        assertFalse("my secret" in "$chat", "$chat")
    }

    @Test
    fun `tags for another SIP stack hold the token, and toString hides it`() {
        TagsCompanion(PushConfig(Provider.Fcm, "app")).use { companion ->
            val tags = companion.tags(TagsBinding.Token(FIRST_TOKEN))
            assertEquals(";pn-provider=fcm;pn-param=app;pn-prid=$FIRST_TOKEN", tags.uriParamsText)
            assertEquals(listOf(Tag("X-MPUSH", "a:app:$FIRST_TOKEN")), tags.headers)
            assertFalse(FIRST_TOKEN in "$tags", "$tags")
            assertEquals(emptyList(), companion.tags(TagsBinding.Token("null")).headers)
            assertEquals(Standing.CONFIRMED, companion.verdict(200, listOf("Feature-Caps" to "*;+sip.pns=\"fcm\"")).standing)
            assertEquals(Standing.REFUSED, companion.verdict(555, emptyList()).standing)
        }
        assertEquals(5, parsePush(data).uuid.let(UUID::version), "a name-based UUID")
    }
}
