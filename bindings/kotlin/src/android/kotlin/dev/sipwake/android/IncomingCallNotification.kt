package dev.sipwake.android

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.app.Person
import android.content.Context
import android.graphics.drawable.Icon
import android.media.AudioAttributes
import android.os.Build
import android.provider.Settings
import androidx.annotation.RequiresApi
import dev.sipwake.Duty
import dev.sipwake.PushAction
import java.util.UUID
import kotlin.time.Duration

/**
 * The notification of an incoming call, for Android 8 and newer.
 *
 * The channel rings with the user's ringtone and vibration, for as long as the call rings. Android 17 silences apps that play their
 * own ringtone in the background.
 *
 * @param channelId a channel that rings. [createChannel] makes it
 * @param icon the small icon's resource
 * @param answerLabel the text of the button before Android 12. Newer versions have buttons of their own
 * @param declineLabel the same for the other button
 * @param hiddenLabel the text on a locked screen instead of the caller, if the user hides private content there
 */
public class IncomingCallNotification @JvmOverloads constructor(
    private val context: Context,
    private val channelId: String,
    private val icon: Int,
    private val answerLabel: CharSequence = "Answer",
    private val declineLabel: CharSequence = "Decline",
    private val hiddenLabel: CharSequence = "Incoming call",
) {
    /** Creates the channel that rings. A second call does no harm. The user can change the channel, but the app no longer can. */
    public fun createChannel(name: CharSequence) {
        val ringtone = AudioAttributes.Builder()
            .setUsage(AudioAttributes.USAGE_NOTIFICATION_RINGTONE)
            .setContentType(AudioAttributes.CONTENT_TYPE_SONIFICATION)
            .build()
        val channel = NotificationChannel(channelId, name, NotificationManager.IMPORTANCE_HIGH).apply {
            setSound(Settings.System.DEFAULT_RINGTONE_URI, ringtone)
            enableVibration(true)
            vibrationPattern = VIBRATION
            lockscreenVisibility = Notification.VISIBILITY_PRIVATE
        }
        context.system<NotificationManager>().createNotificationChannel(channel)
    }

    /**
     * Returns the notification, to show or to give to `startForeground`.
     *
     * It has a full-screen intent and two buttons. It shows the caller as the payload names them, which is not verified. [open] and
     * [answer] must be intents for an activity, because from Android 12 on nothing else can bring one to the front.
     *
     * @param unknownCaller the text if the push does not name the caller
     * @param open opens the app's call screen
     */
    public fun build(
        call: PushAction.IncomingCall,
        unknownCaller: CharSequence,
        open: PendingIntent,
        answer: PendingIntent,
        decline: PendingIntent,
    ): Notification = build(call.details.callerLabel ?: unknownCaller, call.timeLeft, open, answer, decline)

    internal fun build(
        label: CharSequence,
        timeLeft: Duration,
        open: PendingIntent,
        answer: PendingIntent,
        decline: PendingIntent,
    ): Notification {
        val hidden = plain(hiddenLabel)
            .addAction(button(android.R.drawable.ic_menu_close_clear_cancel, declineLabel, decline))
            .addAction(button(android.R.drawable.sym_action_call, answerLabel, answer))
            .build()
        val builder = plain(label)
            .setVisibility(Notification.VISIBILITY_PRIVATE)
            .setPublicVersion(hidden)
            .setOngoing(true)
            .setContentIntent(open)
            .setFullScreenIntent(open, true)
            // If the process dies, nothing else removes it.
            .setTimeoutAfter(timeLeft.inWholeMilliseconds)
        // The system takes this style only from a foreground service or with a full-screen intent.
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            builder.setStyle(style(label, decline, answer))
        } else {
            builder.addAction(button(android.R.drawable.ic_menu_close_clear_cancel, declineLabel, decline))
            builder.addAction(button(android.R.drawable.sym_action_call, answerLabel, answer))
        }
        return builder.build().apply { flags = flags or Notification.FLAG_INSISTENT }
    }

    @RequiresApi(31)
    private fun style(label: CharSequence, decline: PendingIntent, answer: PendingIntent): Notification.Style {
        val person = Person.Builder().setName(label).setImportant(true).build()
        return Notification.CallStyle.forIncomingCall(person, decline, answer)
    }

    private fun plain(label: CharSequence) = Notification.Builder(context, channelId)
        .setSmallIcon(icon)
        .setContentTitle(label)
        .setCategory(Notification.CATEGORY_CALL)

    private fun button(icon: Int, label: CharSequence, tap: PendingIntent) =
        Notification.Action.Builder(Icon.createWithResource("android", icon), label, tap).build()

    /** Shows the notification with the call's id, if the push asks for one. Returns `false` if it asks for something else. */
    public fun show(call: PushAction.IncomingCall, notification: Notification): Boolean {
        if (call.duty !is Duty.ShowNotification) return false
        context.system<NotificationManager>().notify(call.uuid.toString(), ID, notification)
        return true
    }

    /** Removes the call's notification. */
    public fun cancel(call: UUID) {
        context.system<NotificationManager>().cancel(call.toString(), ID)
    }

    private companion object {
        const val ID = 5060
        val VIBRATION = longArrayOf(0, 1000, 1000)
    }
}
