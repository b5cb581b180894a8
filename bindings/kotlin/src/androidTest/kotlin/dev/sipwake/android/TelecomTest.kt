package dev.sipwake.android

import android.net.Uri
import android.os.Looper
import android.os.ParcelUuid
import android.telecom.CallEndpoint
import android.telecom.Connection
import android.telecom.ConnectionRequest
import android.telecom.DisconnectCause
import android.telecom.PhoneAccount
import android.telecom.TelecomManager
import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.Caller
import dev.sipwake.EndReason
import dev.sipwake.PATIENCE_MS
import dev.sipwake.Provider
import dev.sipwake.PushAction
import dev.sipwake.PushConfig
import dev.sipwake.SessionDescription
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeEvent
import dev.sipwake.StateStore
import java.util.UUID
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

private object Nothing : StateStore {
    override fun load(key: String): ByteArray? = null
    override fun save(key: String, bytes: ByteArray) {}
    override fun remove(key: String) {}
}

// docs:telecom
class CallService : TelecomCallService() {
    override val calls: TelecomCalls get() = Phone.calls

    override fun onShowCall(call: TelecomCall) = Phone.showCallScreen(call)
}
// docs:end

object Phone {
    lateinit var calls: TelecomCalls
    val shown = mutableListOf<UUID>()

    fun showCallScreen(call: TelecomCall) {
        shown += call.uuid
    }
}

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
class TelecomTest {
    private val context = RuntimeEnvironment.getApplication()
    private val telecom = shadowOf(context.system<TelecomManager>())
    private val setup = AccountSetup(AccountConfig("alice@example.com", "wonderland"), PushConfig(Provider.Fcm, "app"))
    private val client = SipWakeClient(Nothing, listOf(setup))
    private val calls = TelecomCalls(context, client, CallService::class.java, "App") { _, _ -> SessionDescription("v=0\r\n") }
        .also { Phone.calls = it }
    private val service = Robolectric.setupService(CallService::class.java)

    @AfterTest
    fun close() {
        calls.close()
        client.close()
    }

    private fun pushed(id: String): PushAction.IncomingCall =
        assertIs(client.push(mapOf("ntype" to "0", "nfrom" to "1234", "nfromusername" to "John", "ncallid" to id)))

    /** Telecom's answer to an announced call: it asks the service for a connection. */
    private fun connect(): Connection {
        val incoming = telecom.allIncomingCalls.last()
        val request = ConnectionRequest(incoming.phoneAccount, null, incoming.extras)
        return service.onCreateIncomingConnection(incoming.phoneAccount, request)
    }

    private fun until(condition: () -> Boolean) {
        val end = System.nanoTime() + PATIENCE_MS * 1_000_000
        while (!condition() && System.nanoTime() < end) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(10)
        }
        assertTrue(condition(), "it did not happen in time")
    }

    @Test
    fun `a push becomes a ringing self-managed connection, and a reject declines the call`() {
        val call = pushed("rejected")
        calls.announce(call)
        calls.announce(call)
        assertEquals(1, telecom.allIncomingCalls.size, "announced once")
        val connection = assertIs<TelecomCall>(connect())
        assertEquals(call.uuid, connection.uuid)
        assertEquals(Connection.STATE_RINGING to "John", connection.state to connection.callerDisplayName)
        assertTrue(call.uuid in Phone.shown)
        connection.onReject()
        until { connection.state == Connection.STATE_DISCONNECTED }
        assertEquals(DisconnectCause.REJECTED, connection.disconnectCause.code)
    }

    @Test
    fun `an answer makes no call active before the caller's ACK, and a disconnect hangs it up`() {
        calls.announce(pushed("answered"))
        val connection = assertIs<TelecomCall>(connect())
        connection.onAnswer()
        shadowOf(Looper.getMainLooper()).idle()
        assertEquals(Connection.STATE_RINGING, connection.state)
        connection.onEvent(SipWakeEvent.CallConnected(connection.uuid, null, null))
        assertEquals(Connection.STATE_ACTIVE, connection.state)
        connection.onDisconnect()
        until { connection.state == Connection.STATE_DISCONNECTED }
    }

    @Test
    fun `a call that ended before Telecom asked for it does not ring`() {
        val call = pushed("early")
        calls.announce(call)
        runBlocking { client.decline(call.uuid) }
        until { calls.hasEnded(call.uuid) }
        val connection = connect()
        assertEquals(Connection.STATE_DISCONNECTED, connection.state)
        assertEquals(DisconnectCause.REJECTED, connection.disconnectCause.code)
    }

    @Test
    fun `a call that was answered before Telecom asked for it is active at once`() {
        val call = pushed("quick")
        calls.announce(call)
        calls.onEvent(SipWakeEvent.CallConnected(call.uuid, null, null))
        assertEquals(Connection.STATE_ACTIVE, connect().state)
    }

    @Test
    fun `a media engine that throws ends the call, and refuses new media`() {
        calls.close()
        val calls = TelecomCalls(context, client, CallService::class.java, "App") { _, _ -> error("no microphone") }
        Phone.calls = calls
        calls.announce(pushed("broken"))
        val connection = assertIs<TelecomCall>(connect())
        connection.onEvent(SipWakeEvent.CallAnswerWanted(connection.uuid, null, Caller("sip:bob@example.com", "Bob"), null))
        until { connection.state == Connection.STATE_DISCONNECTED }
        calls.close()
    }

    @Test
    fun `a request for a call of an earlier process is cancelled`() {
        calls.announce(pushed("old"))
        val incoming = telecom.allIncomingCalls.last()
        incoming.extras.putString("dev.sipwake.call", "${UUID.randomUUID()}")
        assertEquals(Connection.STATE_DISCONNECTED, connect().state)
    }

    @Test
    fun `the guide's calls are announced to Telecom`() {
        calls.close()
        val action = pushed("guide")
        val media = Media
        // docs:calls
        val calls = TelecomCalls(context, client, CallService::class.java, "App") { _, offer -> media.describe(offer) }
        // docs:end
        Phone.calls = calls
        // docs:announce
        calls.announce(action)
        // docs:end
        assertEquals(action.uuid, assertIs<TelecomCall>(connect()).uuid)
        calls.close()
    }

    private object Media {
        suspend fun describe(offer: SessionDescription?) = offer ?: SessionDescription("v=0\r\n")
    }

    @Test
    fun `Telecom's requests reach the app's controls, and only sip and tel go into the call log`() {
        calls.close()
        val asked = mutableListOf<String>()
        val controls = object : TelecomControls() {
            override val holds = true
            override fun onSilence(call: UUID) { asked += "silence" }
            override fun onShowIncomingCallUi(call: UUID) { asked += "show" }
            override fun onHold(call: UUID, held: Boolean) { asked += "hold $held" }
            override fun onMute(call: UUID, muted: Boolean) { asked += "mute $muted" }
            override fun onEndpoint(call: UUID, name: CharSequence, type: Int) { asked += "endpoint $type" }
            override fun onDtmf(call: UUID, digit: Char?) { asked += "dtmf $digit" }
        }
        val calls = TelecomCalls(context, client, CallService::class.java, "App", controls) { _, _ -> SessionDescription("v=0\r\n") }
        Phone.calls = calls
        val call = pushed("asked")
        val announcer = Thread { calls.announce(call) }.apply { start() }
        announcer.join()
        until { telecom.allIncomingCalls.isNotEmpty() }
        val connection = assertIs<TelecomCall>(connect())
        @Suppress("DEPRECATION")
        val address: Uri? = telecom.allIncomingCalls.last().extras.getParcelable(TelecomManager.EXTRA_INCOMING_CALL_ADDRESS)
        assertEquals("tel:1234", "$address")
        connection.onSilence()
        connection.onShowIncomingCallUi()
        connection.onHold()
        assertEquals(Connection.STATE_HOLDING, connection.state)
        connection.onUnhold()
        connection.onMuteStateChanged(true)
        connection.onCallEndpointChanged(CallEndpoint("Car", CallEndpoint.TYPE_BLUETOOTH, ParcelUuid(UUID.randomUUID())))
        connection.onPlayDtmfTone('5')
        connection.onStopDtmfTone()
        assertEquals(listOf("silence", "show", "hold true", "hold false", "mute true", "endpoint ${TelecomControls.BLUETOOTH}", "dtmf 5", "dtmf null"), asked)
        val account = context.system<TelecomManager>().getPhoneAccount(telecom.allIncomingCalls.last().phoneAccount)
        assertTrue(account.extras.getBoolean(PhoneAccount.EXTRA_LOG_SELF_MANAGED_CALLS))
        calls.close()
    }

    @Test
    fun `a call that Telecom has no room for is declined as busy, and its end is reported`() {
        val call = pushed("busy")
        calls.announce(call)
        val incoming = telecom.allIncomingCalls.last()
        service.onCreateIncomingConnectionFailed(incoming.phoneAccount, ConnectionRequest(incoming.phoneAccount, null, incoming.extras))
        until { calls.hasEnded(call.uuid) }
    }

    @Test
    fun `every end has its cause`() {
        val codes = EndReason.entries.associateWith { disconnectCause(it).code }
        assertEquals(DisconnectCause.MISSED, codes[EndReason.CANCELLED])
        assertEquals(DisconnectCause.MISSED, codes[EndReason.MISSED])
        assertEquals(DisconnectCause.REMOTE, codes[EndReason.HUNG_UP_BY_CALLER])
        assertEquals(DisconnectCause.ANSWERED_ELSEWHERE, codes[EndReason.ANSWERED_ELSEWHERE])
        assertEquals(DisconnectCause.REJECTED, codes[EndReason.DECLINED])
        assertEquals(DisconnectCause.ERROR, codes[EndReason.FAILED])
        assertEquals(DisconnectCause.LOCAL, codes[EndReason.HUNG_UP])
    }
}
