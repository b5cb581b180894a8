package dev.sipwake.android

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.app.Person
import android.content.Context
import android.os.Build
import dev.sipwake.Duty
import dev.sipwake.PushAction

/**
 * The notification of an incoming call.
 *
 * @param channelId a channel of high importance; [createChannel] makes one
 * @param icon the small icon's resource
 */
public class IncomingCallNotification(
    private val context: Context,
    private val channelId: String,
    private val icon: Int,
) {
    /** Makes the channel; harmless when it is there, and before Android 8, which has none. */
    public fun createChannel(name: CharSequence) {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.O) return
        val channel = NotificationChannel(channelId, name, NotificationManager.IMPORTANCE_HIGH)
        context.system<NotificationManager>().createNotificationChannel(channel)
    }

    /**
     * Returns the notification, ready to be shown or to be handed to `startForeground`.
     *
     * It has a full-screen intent and, from Android 12, the system's own buttons. Whatever the payload said of the caller
     * is shown as it is: it is not verified.
     *
     * @param unknownCaller shown where the push does not tell who calls
     * @param open opens the app's call screen
     */
    public fun build(
        call: PushAction.IncomingCall,
        unknownCaller: CharSequence,
        open: PendingIntent,
        answer: PendingIntent,
        decline: PendingIntent,
    ): Notification {
        val label = call.details.callerLabel ?: unknownCaller
        val builder = builder(call)
            .setSmallIcon(icon)
            .setContentTitle(label)
            .setCategory(Notification.CATEGORY_CALL)
            .setOngoing(true)
            .setContentIntent(open)
            .setFullScreenIntent(open, true)
        // The system takes this style only from a foreground service or with a full-screen intent.
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            val person = Person.Builder().setName(label).setImportant(true).build()
            builder.setStyle(Notification.CallStyle.forIncomingCall(person, decline, answer))
        }
        return builder.build()
    }

    private fun builder(call: PushAction.IncomingCall): Notification.Builder =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.O) {
            Notification.Builder(context, channelId).setTimeoutAfter(call.timeLeft.inWholeMilliseconds)
        } else {
            @Suppress("DEPRECATION")
            Notification.Builder(context).setPriority(Notification.PRIORITY_MAX)
        }

    /** Shows it under the call's own id, where the push asks for a notification. Returns `false` where it asks for another thing. */
    public fun show(call: PushAction.IncomingCall, notification: Notification): Boolean {
        if (call.duty !is Duty.ShowNotification) return false
        context.system<NotificationManager>().notify(call.uuid.toString(), ID, notification)
        return true
    }

    /** Takes the call's notification away. */
    public fun cancel(call: java.util.UUID) {
        context.system<NotificationManager>().cancel(call.toString(), ID)
    }

    private companion object {
        const val ID = 5060
    }
}
