package dev.sipwake.android

import android.app.Application
import android.app.Notification
import android.app.NotificationManager
import android.app.job.JobScheduler
import android.content.Context
import android.content.Intent
import android.os.Looper
import android.os.UserManager
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.CallPolicy
import dev.sipwake.ErrorKind
import dev.sipwake.MemoryStore
import dev.sipwake.Obstacle
import dev.sipwake.Priority
import dev.sipwake.Provider
import dev.sipwake.PushConfig
import dev.sipwake.SipWakeException
import dev.sipwake.StateStore
import dev.sipwake.StoreShutException
import java.net.DatagramPacket
import java.net.DatagramSocket
import java.net.InetAddress
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.runBlocking
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowPowerManager

/** An app whose server receives everything and never responds. */
class PhoneApp : Application(), SipWakePhoneOwner {
    private val server = DatagramSocket(0, InetAddress.getLoopbackAddress())
    val setup = AccountSetup(
        AccountConfig("sip:alice@example.com", "wonderland").copy(gateways = listOf("127.0.0.1:${server.localPort}")),
        PushConfig(Provider.Fcm, "app"),
    )
    override val phone by lazy {
        SipWakePhone(this, PhoneSettings(android.R.drawable.sym_action_call), InactiveMedia, { MemoryStore() }) { listOf(setup) }
    }

    /** Waits for what the phone sends. */
    fun hearRequest(): Unit = server.receive(DatagramPacket(ByteArray(1), 1))

    /** Android's answer to a foreground service. */
    var startRefused: RuntimeException? = null

    override fun startForegroundService(service: Intent) = startRefused?.let { throw it } ?: super.startForegroundService(service)
}

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE, application = PhoneApp::class)
class PhoneTest {
    private val app = RuntimeEnvironment.getApplication() as PhoneApp
    private val manager = app.system<NotificationManager>()
    private val shown = shadowOf(manager)
    private val service = Robolectric.setupService(SipWakePushService::class.java)

    @AfterTest
    fun close() = runBlocking { app.phone.client().close() }

    private fun message(vararg fields: Pair<String, String>, delivered: Int = RemoteMessage.PRIORITY_HIGH) =
        message(mapOf(*fields), delivered)

    private fun call(id: String, type: String = "0") =
        message("ntype" to type, "nfrom" to "1234", "nfromusername" to id, "ncallid" to id)

    private fun startedService() = Robolectric.buildService(SipWakeCallService::class.java, shadowOf(app).nextStartedService)
        .create().startCommand(0, 1)

    private fun ring(id: String): PhoneCall {
        // Longer than a test takes on any machine.
        runBlocking { app.phone.client().setCallPolicy(CallPolicy(window = 30.minutes)) }
        service.onMessageReceived(call(id))
        return app.phone.calls.value.single { it.label == id }
    }

    private fun until(what: String, condition: () -> Boolean) {
        val end = System.nanoTime() + 120_000_000_000
        while (!condition() && System.nanoTime() < end) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(10)
        }
        assertTrue(condition(), what)
    }

    @Test
    fun `a call's push starts the service, holds a timed wakelock and returns before the server has answered`() {
        ring("Ann")
        assertEquals(SipWakeCallService::class.java.name, shadowOf(app).peekNextStartedService().component?.className)
        assertTrue(assertNotNull(ShadowPowerManager.getLatestWakeLock()).isHeld)
        assertTrue(app.phone.registrations.value.isEmpty(), "it did not wait")
        val notification = shadowOf(startedService().get()).lastForegroundNotification
        assertEquals(CallNotifications.RINGING, notification.channelId)
    }

    @Test
    fun `a push without content starts a service that shows nothing for ten seconds`() {
        service.onMessageReceived(message())
        val notification = shadowOf(startedService().get()).lastForegroundNotification
        assertEquals(CallNotifications.CONNECTION, notification.channelId)
        assertEquals(NotificationManager.IMPORTANCE_MIN, manager.getNotificationChannel(CallNotifications.CONNECTION).importance)
        val behavior = Notification::class.java.getDeclaredField("mFgsDeferBehavior").apply { isAccessible = true }
        assertEquals(Notification.FOREGROUND_SERVICE_DEFERRED, behavior.getInt(notification))
    }

    @Test
    fun `a service that Android refuses becomes a notification and a named refusal`() {
        app.startRefused = IllegalStateException("not from the background")
        // The handler keeps the process alive until the server has responded or its time is up.
        val handler = Thread { service.onMessageReceived(call("Ann")) }.apply { start() }
        until("the call is shown") { shown.allNotifications.any { it.channelId == CallNotifications.RINGING } }
        assertTrue(handler.isAlive, "it keeps the process")
        until("the refusal is told") { app.phone.refusals.replayCache.any { it.what == Refusal.SERVICE_START } }
        assertEquals("not from the background", app.phone.refusals.replayCache.first().reason)
        handler.join()
        assertNotNull(app.system<JobScheduler>().getPendingJob(app.phone.settings.jobId), "the server said nothing: a job goes on")
    }

    @Test
    fun `a service whose type Android refuses is a named refusal, and the call goes on`() {
        val call = ring("Ann")
        val running = startedService()
        shadowOf(running.get()).setThrowInStartForeground(SecurityException("no phoneCall"))
        app.phone.silence(call.uuid)
        assertEquals(Refusal.SERVICE_TYPE to "no phoneCall", app.phone.refusals.replayCache.last().let { it.what to it.reason })
        assertEquals(listOf(call.uuid), app.phone.calls.value.map { it.uuid })
    }

    @Test
    fun `a job survives a restart of the phone if the app may receive the event`() {
        shadowOf(app).grantPermissions(android.Manifest.permission.RECEIVE_BOOT_COMPLETED)
        val phone = SipWakePhone(app, PhoneSettings(android.R.drawable.sym_action_call, jobId = 77), InactiveMedia, { MemoryStore() }) { listOf(app.setup) }
        val client = runBlocking {
            phone.client().also {
                it.register(app.setup.account.id())
                app.hearRequest()
                phone.logOut(app.setup.account.id())
            }
        }
        assertTrue(assertNotNull(app.system<JobScheduler>().getPendingJob(77)).isPersisted)
        client.close()
    }

    @Test
    fun `a call that the caller gave up is reported as missed, and a declined one is not`() {
        ring("Ann")
        service.onMessageReceived(call("Ann", type = "2"))
        until("the call is missed") { shown.allNotifications.any { it.channelId == CallNotifications.MISSED } }
        val bob = ring("Bob")
        val decline = Intent(CallNotifications.ACTION_HANG_UP, null).setData(android.net.Uri.fromParts("sipwake", "${bob.uuid}", null))
        SipWakeCallReceiver().onReceive(app, decline)
        until("the call has ended") { app.phone.calls.value.isEmpty() }
        assertEquals(1, shown.allNotifications.count { it.channelId == CallNotifications.MISSED })
    }

    @Test
    fun `a silenced call is shown without a sound`() {
        val call = ring("Ann")
        app.phone.silence(call.uuid)
        assertEquals(CallNotifications.CURRENT, app.phone.foreground().second.channelId)
    }

    @Test
    fun `a chat message and its push are shown once, in either order`() {
        service.onMessageReceived(message("ntype" to "1", "nfrom" to "1234", "nmsg" to "see you", "ncallid" to "m"))
        val chat = shown.allNotifications.single { it.channelId == CallNotifications.MESSAGES }
        assertEquals("see you", "${chat.extras.getCharSequence(Notification.EXTRA_TEXT)}")
    }

    @Test
    fun `the service ends with the last call`() {
        val call = ring("Ann")
        val running = startedService()
        app.phone.hangUp(call.uuid)
        until("it stops itself") { shadowOf(running.get()).isStoppedBySelf }
        // Another thread releases it.
        val lock = assertNotNull(ShadowPowerManager.getLatestWakeLock())
        until("the processor may sleep") { !lock.isHeld }
    }

    @Test
    fun `messages for the app's own use reach the app`() {
        val other = mutableListOf<RemoteMessage>()
        val service = object : SipWakePushService() {
            override fun getApplicationContext() = app
            override fun onOtherMessage(message: RemoteMessage) {
                other += message
            }
        }
        val news = listOf(message("headline" to "rain"), message("ntype" to "3", "title" to "Voicemail"), message("ntype" to "3", "nmsg" to "{}"))
        news.forEach(service::onMessageReceived)
        assertEquals(news, other)
        assertEquals(0, shown.size(), "the app decides alone")
    }

    @Test
    fun `a custom push with a title is a notification unless the app handles it`() {
        service.onMessageReceived(message("ntype" to "3", "title" to "Voicemail", "nmsg" to "2 new messages"))
        val voicemail = shown.allNotifications.single { it.channelId == CallNotifications.MESSAGES }
        assertEquals("Voicemail", "${voicemail.extras.getCharSequence(Notification.EXTRA_TITLE)}")
    }

    @Test
    fun `an exception of the app's own code is a named refusal and not a crash`() = runBlocking {
        val broken = SipWakePhone(app, app.phone.settings, InactiveMedia, { MemoryStore() }) { error("the disk is full") }
        assertNull(broken.clientOrNull())
        assertEquals(Refusal.CLIENT to "the disk is full", broken.refusals.replayCache.first().let { it.what to it.reason })
    }

    /** Shut until the phone is unlocked. */
    private class Locked : StateStore {
        @Volatile
        var open = false
        val loads = AtomicInteger()

        override fun load(key: String): ByteArray? {
            if (!open) throw StoreShutException("locked")
            loads.incrementAndGet()
            return null
        }

        override fun save(key: String, bytes: ByteArray) = if (open) Unit else throw StoreShutException("locked")
        override fun remove(key: String) = if (open) Unit else throw StoreShutException("locked")
    }

    private fun hearsOfUnlock() =
        shadowOf(app).registeredReceivers.any { it.intentFilter.hasAction(Intent.ACTION_USER_UNLOCKED) }

    @Test
    fun `the store is read again after the first unlock`() = runBlocking {
        val users = shadowOf(app.system<UserManager>())
        users.setUserUnlocked(false)
        val store = Locked()
        val phone = SipWakePhone(app, app.phone.settings, InactiveMedia, { store }) { listOf(app.setup) }
        val client = phone.client()
        assertTrue(hearsOfUnlock())
        users.setUserUnlocked(true)
        store.open = true
        app.sendBroadcast(Intent(Intent.ACTION_USER_UNLOCKED))
        until("it is read again") { store.loads.get() > 0 }
        assertFalse(hearsOfUnlock(), "once is enough")
        client.close()
    }

    @Test
    fun `starting a phone asks for accounts and store on another thread and does not wait for them`() = runBlocking {
        val askedOn = ConcurrentLinkedQueue<Thread>()
        val held = CountDownLatch(1)
        val store = { _: Context -> MemoryStore().also { askedOn += Thread.currentThread() } }
        val phone = SipWakePhone(app, app.phone.settings, InactiveMedia, store) {
            askedOn += Thread.currentThread()
            held.await(20, TimeUnit.SECONDS)
            emptyList()
        }
        phone.start()
        until("the accounts were asked for") { askedOn.isNotEmpty() }
        // Nobody has got them yet, and this thread goes on.
        held.countDown()
        phone.client().close()
        assertEquals(2, askedOn.size)
        assertFalse(Thread.currentThread() in askedOn)
    }

    @Test
    fun `an unlocked phone waits for no unlock`() = runBlocking {
        app.phone.client()
        assertFalse(hearsOfUnlock())
    }

    @Test
    fun `messages with a lowered priority are an obstacle until one keeps its priority`() {
        fun note(delivered: Int) = Downgrades.note(app, message(delivered = delivered))
        assertFalse(WakeObstacle.DEPRIORITISED in wakeObstacles(app))
        note(RemoteMessage.PRIORITY_NORMAL)
        assertTrue(WakeObstacle.DEPRIORITISED in wakeObstacles(app))
        note(RemoteMessage.PRIORITY_HIGH)
        assertFalse(WakeObstacle.DEPRIORITISED in wakeObstacles(app))
    }

    @Test
    fun `a report names each obstacle of the phone`() = runBlocking {
        assertEquals(emptySet(), WakeObstacle.entries.map { it.name }.toSet() - Obstacle.entries.map { it.name }.toSet())
        Downgrades.note(app, message(delivered = RemoteMessage.PRIORITY_NORMAL))
        val state = phoneState(app, priority = Priority.NORMAL)
        assertEquals(wakeObstacles(app).map { it.name }, state.obstacles.map { it.name })
        val report = app.phone.client().report(state)
        for (told in listOf("\"deprioritised\"", "\"no-play-services\"", "\"priority\":\"normal\"")) assertTrue(told in report, report)
    }

    @Test
    fun `a log-out has a job until the server has confirmed it, and without a log-out no job waits`() = runBlocking {
        val jobs = app.system<JobScheduler>()
        val client = app.phone.client()
        val account = app.setup.account.id()
        client.setToken(account, "c-10:APA91b")
        client.register(account)
        app.hearRequest()
        assertNull(jobs.getPendingJob(app.phone.settings.jobId))
        app.phone.logOut(account)
        val job = assertNotNull(jobs.getPendingJob(app.phone.settings.jobId))
        assertTrue(job.isRequireNetwork())
        assertFalse(job.isPersisted, "the app may not hear of a restart")
        PendingWork(app, app.phone.settings.jobId).done(account)
        assertNull(jobs.getPendingJob(app.phone.settings.jobId))
    }

    private fun android.app.job.JobInfo.isRequireNetwork() = requiredNetwork != null

    @Test
    fun `an account that wakes itself more often than a sleeping phone can is refused`() {
        assertTrue(app.setup.account.expires >= 1.days, "what an account asks for by itself fits")
        val setup = app.setup.copy(account = app.setup.account.copy(expires = 23.hours), push = app.setup.push?.copy(wakesItself = true))
        val refused = assertFailsWith<SipWakeException> { runBlocking { app.phone.logIn(setup) } }
        assertEquals(ErrorKind.INVALID_FIELD to "push.wakesItself", refused.kind to refused.field)
    }

    @Test
    fun `a channel that is off is an obstacle, and each obstacle has a settings page or none`() {
        manager.createNotificationChannel(
            android.app.NotificationChannel(CallNotifications.RINGING, "Calls", NotificationManager.IMPORTANCE_NONE),
        )
        val obstacles = wakeObstacles(app)
        assertTrue(WakeObstacle.CHANNEL_OFF in obstacles, "$obstacles")
        assertTrue(WakeObstacle.NO_PLAY_SERVICES in obstacles, "$obstacles")
        assertTrue(WakeObstacle.NOT_AFTER_RESTART in obstacles, "$obstacles")
        val nowhere = WakeObstacle.entries.filter { it.intent(app) == null }
        assertEquals(listOf(WakeObstacle.NOT_AFTER_RESTART), nowhere)
    }

    @Test
    fun `a call that Telecom refuses still rings`() {
        // Robolectric's Telecom checks no permission. A phone without the feature has no Telecom at all.
        assertFalse(TelecomCalls.isSupported(app))
        assertEquals(CallPhase.ANNOUNCED, ring("Ann").phase)
    }

    @Test
    fun `the call screen shows the call over the lock screen and closes with it`() {
        val call = ring("Ann")
        val intent = shadowOf(app.phone.foreground().second.fullScreenIntent).savedIntent
        val screen = Robolectric.buildActivity(SipWakeCallActivity::class.java, intent).setup().get()
        assertTrue(shadowOf(screen).showWhenLocked)
        assertFalse(screen.isFinishing)
        app.phone.hangUp(call.uuid)
        until("it closes") { screen.isFinishing }
    }
}
