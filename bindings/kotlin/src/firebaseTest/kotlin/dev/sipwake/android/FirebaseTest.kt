package dev.sipwake.android

import android.content.Intent
import android.os.Bundle
import android.os.Looper
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.FIRST_TOKEN
import dev.sipwake.PATIENCE_MS
import dev.sipwake.Priority
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** Firebase itself. The messages of Google Play services come as their intents. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE, application = GatewayApp::class)
class FirebaseTest {
    private val app = RuntimeEnvironment.getApplication() as GatewayApp
    private val service = Robolectric.setupService(SipWakePushService::class.java)

    @AfterTest
    fun close() {
        runBlocking { app.phone.client().close() }
        app.gateway.close()
    }

    private fun until(what: String, condition: () -> Boolean) {
        val end = System.nanoTime() + PATIENCE_MS * 1_000_000
        while (!condition() && System.nanoTime() < end) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(10)
        }
        assertTrue(condition(), "$what: ${app.phone.calls.value}, ${app.phone.refusals.replayCache}")
    }

    private fun registered(token: String) {
        runBlocking { app.phone.client().register(app.setup.account.id()) }
        until("$token is at the server") { app.gateway.tokens() == listOf(token) }
    }

    @Test
    fun `a message from Play services becomes a ringing call`() {
        val push = Bundle().apply {
            mapOf("ntype" to "0", "nfrom" to "1234", "nfromusername" to "Ann", "ncallid" to "c").forEach(::putString)
            putString("google.message_id", "0:1")
            putString("google.delivered_priority", "high")
            putString("google.original_priority", "high")
        }
        service.handleIntent(Intent("com.google.android.c2dm.intent.RECEIVE").putExtras(push))
        assertEquals("Ann", app.phone.calls.value.single().label)
        assertEquals(SipWakeCallService::class.java.name, shadowOf(app).nextStartedService.component?.className)
    }

    @Test
    fun `a priority is read as Firebase reads it, even if older Play services lowered it`() {
        fun hints(vararg said: Pair<String, String>) =
            RemoteMessage(Bundle().apply { said.forEach { (key, value) -> putString(key, value) } }).hints()
                .let { it.originalPriority to it.deliveredPriority }
        assertEquals(Priority.HIGH to Priority.HIGH, hints("google.original_priority" to "high", "google.delivered_priority" to "high"))
        assertEquals(Priority.HIGH to Priority.NORMAL, hints("google.original_priority" to "high", "google.priority_reduced" to "1"))
        assertEquals(null to null, hints())
    }

    @Test
    fun `Firebase's own fields are no part of a payload`() {
        val push = Bundle().apply { listOf("ntype", "from", "google.ttl", "gcm.n.e", "collapse_key").forEach { putString(it, "1") } }
        assertEquals(mapOf("ntype" to "1"), RemoteMessage(push).data.toMap())
    }

    @Test
    fun `a token that Firebase brings reaches the server`() {
        service.handleIntent(Intent("com.google.firebase.messaging.NEW_TOKEN").putExtra("token", FIRST_TOKEN))
        registered(FIRST_TOKEN)
    }

    @Test
    fun `an installation id replaces the token, and a deleted one is reported`() {
        service.handleIntent(Intent("com.google.firebase.messaging.NEW_TOKEN").putExtra("token", FIRST_TOKEN))
        registered(FIRST_TOKEN)
        service.handleIntent(Intent("com.google.firebase.messaging.FCM_REGISTERED").putExtra("token", "cDb9vfKm0EdSjmTLh0Jyqu"))
        until("the id is at the server, alone") { app.gateway.tokens() == listOf("cDb9vfKm0EdSjmTLh0Jyqu") }
        service.handleIntent(Intent("com.google.firebase.messaging.FCM_UNREGISTERED").putExtra("token", "cDb9vfKm0EdSjmTLh0Jyqu"))
        until("it is reported") { app.phone.refusals.replayCache.any { it.what == Refusal.TOKEN && "installation id" in it.reason } }
    }
}
