package dev.sipwake.android

import dev.sipwake.CallPolicy
import dev.sipwake.Kept
import dev.sipwake.PATIENCE_MS
import java.util.concurrent.TimeUnit
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.runBlocking
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE, application = JavaApp::class)
class JavaAppTest {
    private val app = RuntimeEnvironment.getApplication() as JavaApp

    @Test
    fun `an app in Java rings, gets its calls' events and logs out`() {
        val client = app.futures().client().get(PATIENCE_MS, TimeUnit.MILLISECONDS)
        runBlocking { client.setCallPolicy(CallPolicy(window = 30.minutes)) }
        val data = mapOf("ntype" to "0", "nfrom" to "1234", "nfromusername" to "Ann", "ncallid" to "c")
        Robolectric.setupService(SipWakePushService::class.java)
            .onMessageReceived(message(data))
        until { app.told.any { calls -> calls.any { it.label == "Ann" && it.rings } } }
        assertEquals(Kept.DURABLE, app.futures().logOut(app.account).get(PATIENCE_MS, TimeUnit.MILLISECONDS))
        until { app.told.last().isEmpty() }
        client.close()
    }

    private fun until(condition: () -> Boolean) {
        val end = System.nanoTime() + PATIENCE_MS * 1_000_000
        while (!condition() && System.nanoTime() < end) Thread.sleep(10)
        assertTrue(condition(), "not in time")
    }
}
