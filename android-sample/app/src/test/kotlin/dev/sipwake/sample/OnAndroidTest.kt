package dev.sipwake.sample

import android.Manifest
import android.app.ActivityManager
import android.app.ActivityManager.RunningAppProcessInfo
import android.app.Notification
import android.app.NotificationManager
import android.app.PendingIntent
import android.content.pm.PackageManager
import android.os.Bundle
import android.os.Looper
import android.os.Process
import android.telecom.TelecomManager
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.EndReason
import dev.sipwake.MockGateway
import dev.sipwake.android.SipWakeCallService
import dev.sipwake.android.SipWakePushService
import dev.sipwake.sample.android.CallActivity
import dev.sipwake.sample.android.MainActivity
import dev.sipwake.sample.android.SampleApplication
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.logic.Phase
import dev.sipwake.sample.logic.Registering
import java.io.File
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import org.junit.BeforeClass
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** The sample as Android runs it: from its manifest, with its resources, woken by Firebase's messages. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34])
class OnAndroidTest {
    private val app = RuntimeEnvironment.getApplication() as SampleApplication
    private val gateway = MockGateway("mizutech")
    private val manager = checkNotNull(app.getSystemService(NotificationManager::class.java))
    private val settingsFile = File(app.noBackupFilesDir, "sipwake/sample-settings")

    @AfterTest
    fun close() {
        end()
        gateway.close()
    }

    @Test
    fun `a push starts the call's service, which rings full screen, and the call is answered and hung up from its notification`() {
        logIn()
        val (call, push) = callWhileDead()
        firebase().onMessageReceived(push)

        val start = assertNotNull(shadowOf(app).nextStartedService, "a service is started before the push is handled")
        assertEquals(SipWakeCallService::class.java.name, start.component?.className)
        val running = Robolectric.buildService(SipWakeCallService::class.java, start).create().startCommand(0, 1)
        val service = running.get()
        fun shown() = shadowOf(service).lastForegroundNotification
        assertRings(shown())
        until("Telecom") { shadowOf(app.getSystemService(TelecomManager::class.java)).allIncomingCalls.isNotEmpty() }
        val announced = shadowOf(app.getSystemService(TelecomManager::class.java)).allIncomingCalls
        assertEquals(1, announced.size, "Telecom is told")

        until("ringing") { app.sample.state.value.shown?.phase == Phase.RINGING }
        val activity = Robolectric.buildActivity(CallActivity::class.java, shadowOf(shown().button("answer")).savedIntent).setup().get()
        assertTrue(shadowOf(activity).showWhenLocked && shadowOf(activity).turnScreenOn, "it is seen on a locked phone")
        until("connected") { app.sample.state.value.shown?.phase == Phase.CONNECTED }
        gateway.waitCall(call, "answered")

        until("the notification of a call that goes on") { shown().flags and Notification.FLAG_INSISTENT == 0 }
        shown().button("hangUp").send()
        until("ended") { app.sample.state.value.calls.isEmpty() }
        gateway.waitCall(call, "hung_up_by_callee")
        until("the service's end") { shadowOf(service).isStoppedBySelf && shadowOf(service).isForegroundStopped }
        running.destroy()
    }

    @Test
    fun `a push that Android held back rings by a full-screen notification, whose button declines the call`() {
        logIn()
        val (call, push) = callWhileDead()
        inBackground()
        firebase().onMessageReceived(message(push.data, "normal"))

        until("a notification") { shadowOf(manager).size() == 1 }
        val notification = shadowOf(manager).allNotifications.single()
        assertRings(notification)
        notification.button("decline").send()
        until("declined") { app.sample.state.value.past.singleOrNull()?.reason == EndReason.DECLINED }
        gateway.waitCall(call, "rejected")
        until("no notification") { shadowOf(manager).size() == 0 }
    }

    @Test
    fun `settings outlive the process, encrypted, and a log-out leaves nothing that rings`() {
        logIn()
        val stored = settingsFile.readBytes().decodeToString(throwOnInvalidSequence = false)
        assertFalse("wonderland" in stored || "alice" in stored, "the settings are encrypted")
        val (_, push) = callWhileDead()
        until("the user of before") { app.sample.state.value.user != null }
        val woken = app.sample.state.value
        assertEquals("sip:alice@mock.example" to "wonderland", woken.user?.address to woken.settings.password)

        app.sample.dispatch(Action.LogOutTapped)
        until("forgotten") { app.sample.state.value.notice == "The server has forgotten sip:alice@mock.example." }
        assertTrue(gateway.bindings().isEmpty())
        until("no settings") { !settingsFile.exists() }
        // The call may have reached the woken app already, so its service may be right.
        while (shadowOf(app).nextStartedService != null) idle()
        firebase().onMessageReceived(push)
        idle()
        assertNull(shadowOf(app).nextStartedService)
        assertEquals(0, shadowOf(manager).size(), "a late push shows nothing")

        end()
        app.onCreate()
        assertNull(app.sample.state.value.user)
    }

    @Test
    fun `an opened app asks for notifications`() {
        val activity = Robolectric.buildActivity(MainActivity::class.java).setup().get()
        assertEquals(listOf(Manifest.permission.POST_NOTIFICATIONS), shadowOf(activity).lastRequestedPermission.requestedPermissions.toList())
    }

    /** The end of the process, as far as one process can simulate two. */
    private fun end(): Unit = runBlocking { app.phone.client().close() }

    private fun logIn() {
        app.sample.dispatch(Action.Edited(settings(gateway)))
        app.sample.dispatch(Action.LogInTapped)
        until("registered") { app.sample.state.value.registering is Registering.Done }
        firebase().onNewToken(TOKEN)
        until("the token at the server") { gateway.tokens() == listOf(TOKEN) }
    }

    private fun message(data: Map<String, String>, delivered: String) = RemoteMessage(
        Bundle().apply {
            data.forEach(::putString)
            putString("google.delivered_priority", delivered)
            putString("google.original_priority", "high")
        },
    )

    /** Ends the process, and starts another one as Firebase does for the message of a call. */
    private fun callWhileDead(): Pair<Long, RemoteMessage> {
        end()
        gateway.sleep()
        val call = gateway.placeCall()
        val push = message(gateway.nextPush(), "high")
        shadowOf(app.packageManager).setSystemFeature(PackageManager.FEATURE_TELECOM, true)
        app.onCreate()
        return call to push
    }

    private fun firebase(): SipWakePushService = Robolectric.setupService(SipWakePushService::class.java)

    private fun assertRings(notification: Notification) {
        assertEquals(Notification.CATEGORY_CALL, notification.category)
        assertTrue(notification.flags and Notification.FLAG_INSISTENT != 0, "it rings on")
        val screen = shadowOf(notification.fullScreenIntent)
        assertEquals(CallActivity::class.java.name, screen.savedIntent.component?.className)
        val channel = manager.getNotificationChannel(notification.channelId)
        assertEquals(NotificationManager.IMPORTANCE_HIGH, channel.importance, "below, nothing is shown full screen")
        assertNotNull(channel.sound)
    }

    /** The system draws these in the notification of a call. */
    private fun Notification.button(name: String): PendingIntent =
        assertNotNull(extras.getParcelable("android.${name}Intent", PendingIntent::class.java), "no $name in $extras")

    private fun inBackground() {
        val process = RunningAppProcessInfo().apply {
            pid = Process.myPid()
            importance = RunningAppProcessInfo.IMPORTANCE_CACHED
        }
        shadowOf(app.getSystemService(ActivityManager::class.java)).setProcesses(listOf(process))
    }

    private fun idle(): Unit = shadowOf(Looper.getMainLooper()).idle()

    private fun until(what: String, condition: () -> Boolean) {
        val end = System.nanoTime() + PATIENCE_MS * 1_000_000
        while (!condition()) {
            assertTrue(System.nanoTime() < end, "not seen: $what, but ${app.sample.state.value}")
            idle()
            Thread.sleep(10)
        }
    }

    companion object {
        @BeforeClass
        @JvmStatic
        fun standIn(): Unit = PhoneStandIns.install()
    }
}
