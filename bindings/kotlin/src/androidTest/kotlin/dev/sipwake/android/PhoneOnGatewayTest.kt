package dev.sipwake.android

import android.Manifest
import android.app.Application
import android.app.job.JobScheduler
import android.content.pm.ServiceInfo
import android.os.Looper
import com.google.firebase.messaging.FirebaseMessaging
import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.FIRST_TOKEN
import dev.sipwake.MemoryStore
import dev.sipwake.MockGateway
import dev.sipwake.PATIENCE_MS
import dev.sipwake.Provider
import dev.sipwake.PushConfig
import dev.sipwake.SipWakeEvent
import dev.sipwake.Standing
import kotlin.test.AfterTest
import kotlin.test.BeforeTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.runBlocking
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

    @BeforeTest
    fun withoutFirebase() {
        FirebaseMessaging.answers = FirebaseMessaging.Answers()
    }

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
        assertTrue(condition(), "$what: ${app.phone.registrations.value}, ${app.phone.calls.value}, ${app.phone.refusals.replayCache}")
    }

    private fun register(): Standing {
        runBlocking { app.phone.setToken(FIRST_TOKEN) }
        app.phone.start()
        until("it is registered") { (app.phone.registrations.value[account] as? SipWakeEvent.Registered)?.registration?.token == FIRST_TOKEN }
        return (app.phone.registrations.value.getValue(account) as SipWakeEvent.Registered).registration.verdict.standing
    }

    @Test
    fun `a server that says it will push keeps the binding, and no job waits`() {
        assertEquals(Standing.CONFIRMED, register())
        assertNull(job)
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
    fun `a job refreshes what is due, and the next one waits for the next time`() {
        app.wakesItself = true
        register()
        until("a job waits") { job != null }
        PendingWork(app, app.phone.settings.jobId).due(account, (-1).hours)
        // Another process, which knows of the work by its job alone.
        val next = SipWakePhone(app, app.phone.settings, InactiveMedia, { MemoryStore() }) { listOf(app.setup) }
        val before = app.gateway.lastMessage()
        runBlocking { assertTrue(next.finishWork()) }
        assertTrue(app.gateway.registersReceived(before) > 0)
        next.endWork(again = false)
        assertTrue(assertNotNull(job).minLatencyMillis > 0)
        runBlocking { next.client().close() }
    }

    @Test
    fun `a log-out goes before a refresh, and takes it along`() {
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
    fun `the service has the microphone only for a call that was answered on the screen, until it ends`() {
        shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
        register()
        val placed = app.gateway.placeCall()
        until("it rings") { app.phone.calls.value.any { it.phase == CallPhase.RINGING } }
        val service = Robolectric.buildService(SipWakeCallService::class.java).create().startCommand(0, 1).get()
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
    }
}
