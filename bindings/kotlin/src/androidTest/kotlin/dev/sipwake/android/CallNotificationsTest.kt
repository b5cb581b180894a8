package dev.sipwake.android

import android.app.Notification
import android.app.NotificationManager
import android.app.PendingIntent
import android.media.AudioAttributes
import android.os.Build
import android.provider.Settings
import java.util.UUID
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNotEquals
import kotlin.test.assertNotNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.seconds
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** On several versions of Android. Robolectric loads its own classes for each, so the native library, which a process loads once, is left out. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [26, 30, 31, 34, 35], manifest = Config.NONE)
class CallNotificationsTest {
    private val app = RuntimeEnvironment.getApplication()
    private val manager = app.system<NotificationManager>()
    private val notifications = CallNotifications(app, PhoneSettings(android.R.drawable.sym_action_call)).apply { createChannels() }

    private fun call(label: String?, phase: CallPhase = CallPhase.RINGING) =
        PhoneCall(UUID.nameUUIDFromBytes("$label".toByteArray()), null, "1234", label, phase, 40.seconds)

    private fun buttons(notification: Notification): List<PendingIntent> {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.S) return notification.actions.map { it.actionIntent }
        assertEquals("android.app.Notification\$CallStyle", notification.extras.getString(Notification.EXTRA_TEMPLATE))
        @Suppress("DEPRECATION")
        return listOf("android.declineIntent", "android.answerIntent").map { assertNotNull(notification.extras.getParcelable(it)) }
    }

    @Test
    fun `the channel rings, and the notification has buttons and opens activities`() {
        val channel = manager.getNotificationChannel(CallNotifications.RINGING)
        assertEquals(NotificationManager.IMPORTANCE_HIGH, channel.importance)
        assertEquals(Settings.System.DEFAULT_RINGTONE_URI, channel.sound)
        assertEquals(AudioAttributes.USAGE_NOTIFICATION_RINGTONE, channel.audioAttributes.usage)
        assertTrue(channel.shouldVibrate())
        val notification = notifications.of(call("Ann"))
        assertEquals(CallNotifications.RINGING, notification.channelId)
        assertTrue(notification.flags and Notification.FLAG_INSISTENT != 0, "it rings for as long as the call")
        assertEquals(40_000, notification.timeoutAfter, "also where the process dies")
        assertEquals("Ann", "${notification.extras.getCharSequence(Notification.EXTRA_TITLE)}")
        val (decline, answer) = buttons(notification)
        for (tap in listOf(notification.contentIntent, notification.fullScreenIntent, answer)) {
            assertTrue(shadowOf(tap).isActivityIntent)
            assertEquals(call("Ann").uuid, CallNotifications.callOf(shadowOf(tap).savedIntent))
        }
        assertTrue(shadowOf(decline).isBroadcastIntent, "which opens nothing")
    }

    @Test
    fun `two calls have buttons of their own`() {
        val taps = listOf("Ann", "Bob").map { buttons(notifications.of(call(it))) }
        assertNotEquals(taps[0][1], taps[1][1])
        for ((index, label) in listOf("Ann", "Bob").withIndex()) {
            for (tap in taps[index]) assertEquals(call(label).uuid, CallNotifications.callOf(shadowOf(tap).savedIntent))
        }
    }

    @Test
    fun `an ongoing call, a silenced one and a registration make no sound`() {
        val quiet = listOf(notifications.of(call("Ann", CallPhase.CONNECTED)), notifications.of(call("Ann"), silenced = true), notifications.connecting())
        for (notification in quiet) {
            assertTrue(manager.getNotificationChannel(notification.channelId).importance <= NotificationManager.IMPORTANCE_LOW)
            assertEquals(0, notification.flags and Notification.FLAG_INSISTENT)
        }
        assertEquals("Unknown caller", "${notifications.of(call(null)).extras.getCharSequence(Notification.EXTRA_TITLE)}")
    }
}
