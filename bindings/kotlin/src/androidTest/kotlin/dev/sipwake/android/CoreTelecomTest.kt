package dev.sipwake.android

import android.app.Application
import android.content.Context
import android.content.Intent
import android.net.Uri
import android.telecom.DisconnectCause
import androidx.core.telecom.CallAttributesCompat
import androidx.core.telecom.CallControlScope
import androidx.core.telecom.CallsManager
import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.CallPolicy
import dev.sipwake.MemoryStore
import dev.sipwake.PATIENCE_MS
import dev.sipwake.Provider
import dev.sipwake.PushConfig
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

// docs:jetpack
class JetpackCalls(context: Context, private val phone: () -> SipWakePhone) : CallAnnouncer {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private val manager = CallsManager(context).apply { registerAppWithTelecom(CallsManager.CAPABILITY_BASELINE) }

    override fun announce(call: PhoneCall) {
        val address = Uri.fromParts("sip", call.caller, null)
        val attributes = CallAttributesCompat(call.label ?: "Unknown", address, CallAttributesCompat.DIRECTION_INCOMING)
        // Undispatched: Telecom knows the call before the notification is shown.
        scope.launch(start = CoroutineStart.UNDISPATCHED) {
            manager.addCall(attributes, { phone().answer(call.uuid) }, { phone().hangUp(call.uuid) }, {}, {}) {
                launch { follow(call) }
            }
        }
    }

    private suspend fun CallControlScope.follow(call: PhoneCall) {
        phone().calls.map { calls -> calls.find { it.uuid == call.uuid }?.phase }.collect { phase ->
            when (phase) {
                null -> disconnect(DisconnectCause(DisconnectCause.REMOTE))
                CallPhase.ANSWERING -> answer(CallAttributesCompat.CALL_TYPE_AUDIO_CALL)
                CallPhase.CONNECTED -> setActive()
                CallPhase.ANNOUNCED, CallPhase.RINGING -> {}
            }
        }
    }
}
// docs:end

/** An app with core-telecom that records the order of events. */
class JetpackApp : Application(), SipWakePhoneOwner {
    val order = CopyOnWriteArrayList<String>()
    private val setup = AccountSetup(AccountConfig("sip:alice@example.com", "wonderland"), PushConfig(Provider.Fcm, "app"))
    override val phone: SipWakePhone by lazy {
        val calls = JetpackCalls(this) { phone }
        val announcer = CallAnnouncer { call ->
            calls.announce(call)
            order += "added ${CallsManager.added.size}"
        }
        SipWakePhone(this, PhoneSettings(android.R.drawable.sym_action_call, announcer = announcer), InactiveMedia, { MemoryStore() }) { listOf(setup) }
    }

    override fun startForegroundService(service: Intent) = super.startForegroundService(service).also { order += "service" }
}

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE, application = JetpackApp::class)
class CoreTelecomTest {
    private val app = RuntimeEnvironment.getApplication() as JetpackApp

    @Test
    fun `core-telecom knows a call before its notification, and either side can end it`() = runBlocking {
        app.phone.client().setCallPolicy(CallPolicy(window = 30.minutes))
        val service = Robolectric.setupService(SipWakePushService::class.java)
        val data = mapOf("ntype" to "0", "nfrom" to "1234", "nfromusername" to "Ann", "ncallid" to "c")
        service.onMessageReceived(message(data))
        assertEquals(listOf("added 1", "service"), app.order)
        val added = CallsManager.added.single()
        assertEquals("Ann" to "sip:1234", "${added.attributes.displayName}" to "${added.attributes.address}")
        // On the headset.
        added.onDisconnect(DisconnectCause(DisconnectCause.REJECTED))
        val end = System.nanoTime() + PATIENCE_MS * 1_000_000
        while (added.told.isEmpty() && System.nanoTime() < end) Thread.sleep(10)
        assertTrue(app.phone.calls.value.isEmpty())
        assertEquals(listOf("disconnect ${DisconnectCause.REMOTE}"), added.told)
        app.phone.client().close()
    }
}
