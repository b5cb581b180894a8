package dev.sipwake.android

import android.Manifest
import android.app.Application
import android.app.Notification
import android.app.NotificationManager
import android.app.job.JobScheduler
import android.content.pm.ServiceInfo
import android.os.Looper
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.CallPolicy
import dev.sipwake.FIRST_TOKEN
import dev.sipwake.Kept
import dev.sipwake.MemoryStore
import dev.sipwake.MockGateway
import dev.sipwake.PATIENCE_MS
import dev.sipwake.Provider
import dev.sipwake.PushConfig
import dev.sipwake.SipWakeEvent
import dev.sipwake.Standing
import java.time.Instant
import java.util.UUID
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonPrimitive
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** An app whose server is the mock gateway. */
class GatewayApp : Application(), SipWakePhoneOwner {
    var profile = "rfc8599"
    var wakesItself = false
    val gateway by lazy { MockGateway(profile) }
    val setup by lazy {
        AccountSetup(
            AccountConfig("sip:alice@mock.example", "wonderland").copy(gateways = listOf(gateway.address)),
            PushConfig(Provider.Fcm, "com.example.app", wakesItself = wakesItself),
        )
    }
    override val phone by lazy {
        SipWakePhone(this, PhoneSettings(android.R.drawable.sym_action_call), InactiveMedia, { MemoryStore() }) { listOf(setup) }
    }
}

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE, application = GatewayApp::class)
class PhoneOnGatewayTest {
    private val app = RuntimeEnvironment.getApplication() as GatewayApp
    private val job get() = app.system<JobScheduler>().getPendingJob(app.phone.settings.jobId)
    private val account by lazy { app.setup.account.id() }

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
        val shown = shadowOf(app.system<NotificationManager>()).allNotifications.map { "${it.category} ${it.extras?.getCharSequence(Notification.EXTRA_TITLE)}" }
        assertTrue(condition(), "$what: ${app.phone.registrations.value}, ${app.phone.calls.value}, $shown, ${app.phone.refusals.replayCache}")
    }

    private fun register(): Standing {
        runBlocking { app.phone.setToken(FIRST_TOKEN) }
        app.phone.start()
        until("it is registered") { (app.phone.registrations.value[account] as? SipWakeEvent.Registered)?.registration?.token == FIRST_TOKEN }
        return (app.phone.registrations.value.getValue(account) as SipWakeEvent.Registered).registration.verdict.standing
    }

    @Test
    fun `with a server that promises pushes, no job waits for the refresh`() {
        assertEquals(Standing.CONFIRMED, register())
        assertNull(job)
    }

    @Test
    fun `a push without content registers within a deferred service, and leaves no notification`() {
        register()
        val manager = shadowOf(app.system<NotificationManager>())
        val before = app.gateway.lastMessage()
        Robolectric.setupService(SipWakePushService::class.java).onMessageReceived(message(emptyMap()))
        val controller = Robolectric.buildService(SipWakeCallService::class.java, shadowOf(app).nextStartedService).create().startCommand(0, 1)
        assertTrue(manager.allNotifications.all { it.channelId == CallNotifications.CONNECTION }, "Android defers this one")
        until("it registers") { app.gateway.registersReceived(before) > 0 }
        until("the service ends") { shadowOf(controller.get()).isStoppedBySelf }
        assertEquals(emptyList(), manager.allNotifications)
        controller.destroy()
    }

    @Test
    fun `an account that wakes itself has a job long before its binding ends`() {
        app.wakesItself = true
        register()
        until("a job waits") { job != null }
        val lifetime = (app.phone.registrations.value.getValue(account) as SipWakeEvent.Registered).registration.expires
        val wait = assertNotNull(job).minLatencyMillis.milliseconds
        assertTrue(wait <= lifetime / 2 && wait > lifetime / 4, "$wait of $lifetime")
        assertNotNull(job?.requiredNetwork)
    }

    @Test
    fun `a job refreshes what is due, and another one waits for the next refresh`() {
        app.wakesItself = true
        register()
        until("a job waits") { job != null }
        PendingWork(app, app.phone.settings.jobId).due(account, (-1).hours)
        // Another process, which only knows the work from its job.
        val next = SipWakePhone(app, app.phone.settings, InactiveMedia, { MemoryStore() }) { listOf(app.setup) }
        val before = app.gateway.lastMessage()
        runBlocking { assertTrue(next.finishWork()) }
        assertTrue(app.gateway.registersReceived(before) > 0)
        next.endWork(again = false)
        assertTrue(assertNotNull(job).minLatencyMillis > 0)
        runBlocking { next.client().close() }
    }

    @Test
    fun `a log-out goes before a refresh, and replaces its job`() {
        app.wakesItself = true
        register()
        until("a job waits") { job != null }
        val work = PendingWork(app, app.phone.settings.jobId)
        assertTrue(work.add(account))
        assertEquals(0, assertNotNull(job).minLatencyMillis, "at once")
        work.done(account)
        assertNull(job)
    }

    @Test
    fun `do not disturb removes the push binding, shows nothing, and has a job for its end`() {
        register()
        app.gateway.sleep()
        val placed = app.gateway.placeCall("alice", "display" to JsonPrimitive("Bob"))
        val late = message(app.gateway.nextPush())
        app.gateway.cancelCall(placed)
        runBlocking { assertEquals(Kept.DURABLE, app.phone.setDoNotDisturb(account, Instant.now().plusSeconds(7200))) }
        val wait = assertNotNull(job).minLatencyMillis.milliseconds
        assertTrue(wait > 1.hours && wait <= 2.hours + 1.seconds, "to the second: $wait")
        Robolectric.setupService(SipWakePushService::class.java).onMessageReceived(late)
        assertTrue(app.phone.calls.value.isEmpty() && shadowOf(app.system<NotificationManager>()).allNotifications.isEmpty())
        until("the token is gone") { app.gateway.tokens().isEmpty() && app.gateway.bindings().isNotEmpty() }
        assertNotNull(job, "also after it registered")
        assertEquals(setOf(account), app.phone.doNotDisturb.value.keys)

        runBlocking { app.phone.setDoNotDisturb(account, Instant.now().plusMillis(1500)) }
        until("the token is back") { app.gateway.tokens() == listOf(FIRST_TOKEN) && app.phone.doNotDisturb.value.isEmpty() }
        until("no job is left") { job == null }
    }

    @Test
    fun `a late name from a second push, the INVITE or the server's assertion is shown on the notification`() {
        register()
        val manager = app.system<NotificationManager>()
        fun shown(call: UUID) = shadowOf(manager).getNotification(CallNotifications.id(call))
        fun title() = app.phone.calls.value.singleOrNull()?.let { shown(it.uuid) }?.extras?.getCharSequence(Notification.EXTRA_TITLE)?.toString()
        // Nothing may show a removed notification again.
        fun isOver(call: UUID) = app.phone.calls.value.isEmpty() && shown(call) == null
        fun push(vararg fields: Pair<String, String>) = Robolectric.setupService(SipWakePushService::class.java)
            .onMessageReceived(message(mapOf("ntype" to "0", "ntouser" to "alice", *fields), RemoteMessage.PRIORITY_NORMAL))
        runBlocking { app.phone.client().setCallPolicy(CallPolicy(window = 30.minutes)) }
        push("nfrom" to "1234", "ncallid" to "c1")
        until("its number") { title() == "1234" }
        push("nfrom" to "1234", "ncallid" to "c1", "nfromusername" to "Bob")
        until("a later push's name") { title() == "Bob" }
        val first = app.phone.calls.value.single().uuid
        app.phone.hangUp(first)
        until("it is over") { isOver(first) }

        val asserted = JsonArray(listOf(JsonArray(listOf("P-Asserted-Identity", "\"Trillian\" <sip:dora@mock.example>").map(::JsonPrimitive))))
        for ((caller, display, headers, name) in listOf(
            Late("carol", JsonPrimitive("Zaphod"), JsonArray(emptyList()), "Zaphod"),
            Late("dora", JsonNull, asserted, "Trillian"),
        )) {
            push("nfrom" to caller)
            until("its number") { title() == caller }
            val placed = app.gateway.placeCall("alice", "from" to JsonPrimitive("sip:$caller@mock.example"), "display" to display, "headers" to headers)
            until(name) { title() == name }
            val call = app.phone.calls.value.single()
            assertEquals(name, call.label)
            app.gateway.cancelCall(placed)
            until("it is over") { isOver(call.uuid) }
        }
    }

    private data class Late(val caller: String, val display: JsonElement, val headers: JsonArray, val name: String)

    @Test
    fun `the service has the microphone only for a call that was answered on the screen, until it ends`() {
        shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
        register()
        val placed = app.gateway.placeCall()
        until("it rings") { app.phone.calls.value.any { it.phase == CallPhase.RINGING } }
        val controller = Robolectric.buildService(SipWakeCallService::class.java).create().startCommand(0, 1)
        val service = controller.get()
        val call = ServiceInfo.FOREGROUND_SERVICE_TYPE_PHONE_CALL
        app.phone.screenVisible = true
        assertEquals(call, service.type(), "it rings")
        app.phone.screenVisible = false
        app.phone.answer(app.phone.calls.value.single().uuid)
        app.gateway.waitCall(placed, "answered")
        until("both may talk") { app.phone.calls.value.any { it.phase == CallPhase.CONNECTED } }
        assertEquals(call, service.type(), "not from the background")
        app.phone.screenVisible = true
        val talks = call or ServiceInfo.FOREGROUND_SERVICE_TYPE_MICROPHONE
        assertEquals(talks, service.type())
        app.phone.screenVisible = false
        assertEquals(talks, service.type(), "the user may look at something else meanwhile")
        shadowOf(app).denyPermissions(Manifest.permission.RECORD_AUDIO)
        assertEquals(call, service.type(), "not without the permission")
        // It shows notifications on its own threads: none of them may still be running when the next test begins.
        app.phone.hangUp(app.phone.calls.value.single().uuid)
        until("nothing is shown") { app.phone.calls.value.isEmpty() && shadowOf(service).isForegroundStopped }
        controller.destroy()
    }
}
