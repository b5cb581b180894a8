package dev.sipwake.android

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.app.Person
import android.content.Context
import android.content.Intent
import android.net.Uri
import android.os.Build
import androidx.annotation.RequiresApi
import java.util.UUID

/** The notifications of a [SipWakePhone]: calls that ring, calls that are up, missed calls, and messages. */
internal class CallNotifications(private val context: Context, private val settings: PhoneSettings) {
    private val words = settings.words
    private val manager = context.system<NotificationManager>()
    private val incoming = IncomingCallNotification(context, RINGING, settings.icon, words.answer, words.decline)

    fun createChannels() {
        incoming.createChannel(words.incomingCalls)
        manager.createNotificationChannels(
            listOf(
                NotificationChannel(CURRENT, words.currentCall, NotificationManager.IMPORTANCE_LOW),
                NotificationChannel(MISSED, words.missedCalls, NotificationManager.IMPORTANCE_DEFAULT),
                NotificationChannel(MESSAGES, words.messages, NotificationManager.IMPORTANCE_HIGH),
                NotificationChannel(CONNECTION, words.connection, NotificationManager.IMPORTANCE_MIN),
            ),
        )
    }

    /** The notification for a call as it is now. A silenced call continues without a sound. */
    fun of(call: PhoneCall, silenced: Boolean = false): Notification {
        val open = screen(call.uuid, Intent.ACTION_VIEW)
        if (call.rings && !silenced) {
            val answer = screen(call.uuid, Intent.ACTION_ANSWER)
            return incoming.build(labelOf(call), call.ringsFor, open, answer, hangUp(call.uuid))
        }
        val builder = Notification.Builder(context, CURRENT)
            .setSmallIcon(settings.icon)
            .setContentTitle(labelOf(call))
            .setCategory(Notification.CATEGORY_CALL)
            .setOngoing(true)
            .setContentIntent(open)
        if (call.rings) builder.setTimeoutAfter(call.ringsFor.inWholeMilliseconds)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            builder.setStyle(style(call))
            // The style needs a foreground service or a full-screen intent. A channel this quiet shows nothing over the
            // screen.
            builder.setFullScreenIntent(open, false)
        } else {
            if (call.rings) builder.addAction(Notification.Action.Builder(null, words.answer, screen(call.uuid, Intent.ACTION_ANSWER)).build())
            builder.addAction(Notification.Action.Builder(null, if (call.rings) words.decline else words.hangUp, hangUp(call.uuid)).build())
        }
        return builder.build()
    }

    @RequiresApi(31)
    private fun style(call: PhoneCall): Notification.Style {
        val person = Person.Builder().setName(labelOf(call)).setImportant(true).build()
        if (!call.rings) return Notification.CallStyle.forOngoingCall(person, hangUp(call.uuid))
        return Notification.CallStyle.forIncomingCall(person, hangUp(call.uuid), screen(call.uuid, Intent.ACTION_ANSWER))
    }

    /** Shown by a foreground service that only registers. It is deferred, so nothing appears if that takes less than ten seconds. */
    fun connecting(): Notification {
        val builder = Notification.Builder(context, CONNECTION)
            .setSmallIcon(settings.icon)
            .setContentTitle(words.connecting)
            .setOngoing(true)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) defer(builder)
        return builder.build()
    }

    @RequiresApi(31)
    private fun defer(builder: Notification.Builder) {
        builder.setForegroundServiceBehavior(Notification.FOREGROUND_SERVICE_DEFERRED)
    }

    fun show(call: PhoneCall, silenced: Boolean = false): Unit = manager.notify(id(call.uuid), of(call, silenced))

    fun cancel(call: UUID): Unit = manager.cancel(id(call))

    fun showMissed(call: PhoneCall) {
        val missed = Notification.Builder(context, MISSED)
            .setSmallIcon(settings.icon)
            .setContentTitle(words.missedCall)
            .setContentText(labelOf(call))
            .setCategory(Notification.CATEGORY_MISSED_CALL)
            .setAutoCancel(true)
            .setContentIntent(app(call.uuid))
            .build()
        manager.notify("missed-${call.uuid}", MISSED_ID, missed)
    }

    /** A push announces a message before it comes, with the same id. */
    fun showMessage(id: String, sender: CharSequence?, text: CharSequence?) {
        val message = Notification.Builder(context, MESSAGES)
            .setSmallIcon(settings.icon)
            .setContentTitle(sender ?: words.newMessage)
            .setContentText(text)
            .setCategory(Notification.CATEGORY_MESSAGE)
            .setOnlyAlertOnce(true)
            .setAutoCancel(true)
            .setContentIntent(app(null))
            .build()
        manager.notify("message-$id", MESSAGE_ID, message)
    }

    private fun labelOf(call: PhoneCall): CharSequence = call.label ?: words.unknownCaller

    /** Opens the activity itself, because from Android 12 on nothing that runs in between may open one. */
    private fun screen(call: UUID, action: String): PendingIntent = PendingIntent.getActivity(
        context, id(call), intent(action, call, settings.callScreen).addFlags(Intent.FLAG_ACTIVITY_NEW_TASK), FLAGS,
    )

    private fun hangUp(call: UUID): PendingIntent =
        PendingIntent.getBroadcast(context, id(call), intent(ACTION_HANG_UP, call, SipWakeCallReceiver::class.java), FLAGS)

    private fun app(call: UUID?): PendingIntent {
        val target = settings.openApp ?: settings.callScreen
        return PendingIntent.getActivity(context, 0, intent(Intent.ACTION_VIEW, call, target).addFlags(Intent.FLAG_ACTIVITY_NEW_TASK), FLAGS)
    }

    /** The data holds the call, too, because Android tells intents apart by their data and not by their extras. */
    private fun intent(action: String, call: UUID?, target: Class<*>) =
        Intent(action, call?.let { Uri.fromParts("sipwake", "$it", null) }, context, target)

    companion object {
        const val RINGING = "sipwake.ringing"
        const val CURRENT = "sipwake.current"
        const val MISSED = "sipwake.missed"
        const val MESSAGES = "sipwake.messages"
        const val CONNECTION = "sipwake.connection"
        const val ACTION_HANG_UP = "dev.sipwake.HANG_UP"
        const val CONNECTION_ID = 5061
        private const val MISSED_ID = 5062
        private const val MESSAGE_ID = 5063
        private const val FLAGS = PendingIntent.FLAG_IMMUTABLE or PendingIntent.FLAG_UPDATE_CURRENT

        /** Never 0, which no foreground service may have. */
        fun id(call: UUID): Int = call.hashCode() or 1

        fun callOf(intent: Intent?): UUID? =
            intent?.data?.schemeSpecificPart?.let { runCatching { UUID.fromString(it) }.getOrNull() }
    }
}
