package dev.sipwake.sample.android

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.app.Person
import android.content.Context
import android.content.Intent
import android.media.AudioAttributes
import android.media.RingtoneManager
import android.os.Build
import dev.sipwake.sample.R
import dev.sipwake.sample.logic.Call
import dev.sipwake.sample.logic.Phase
import dev.sipwake.sample.logic.Words

/** The one notification of the call in front. */
object CallNotifications {
    const val ID = 5060
    const val RINGING = "ringing"
    private const val ONGOING = "ongoing"

    fun createChannels(context: Context) {
        val ringtone = AudioAttributes.Builder()
            .setUsage(AudioAttributes.USAGE_NOTIFICATION_RINGTONE)
            .setContentType(AudioAttributes.CONTENT_TYPE_SONIFICATION)
            .build()
        val ringing = NotificationChannel(RINGING, context.getString(R.string.incoming_calls), NotificationManager.IMPORTANCE_HIGH)
        ringing.setSound(RingtoneManager.getDefaultUri(RingtoneManager.TYPE_RINGTONE), ringtone)
        ringing.enableVibration(true)
        ringing.lockscreenVisibility = Notification.VISIBILITY_PUBLIC
        val ongoing = NotificationChannel(ONGOING, context.getString(R.string.ongoing_calls), NotificationManager.IMPORTANCE_LOW)
        manager(context).createNotificationChannels(listOf(ringing, ongoing))
    }

    fun show(context: Context, call: Call): Unit = manager(context).notify(ID, build(context, call))

    fun cancel(context: Context): Unit = manager(context).cancel(ID)

    fun build(context: Context, call: Call?): Notification {
        val rings = call != null && call.phase < Phase.ANSWERING
        val open = activity(context, 0, Intent(context, CallActivity::class.java))
        val builder = Notification.Builder(context, if (rings) RINGING else ONGOING)
            .setSmallIcon(R.drawable.ic_call)
            .setContentTitle(call?.label ?: context.getString(R.string.app_name))
            .setContentText(call?.let { Words.phase(it.phase) })
            .setCategory(Notification.CATEGORY_CALL)
            .setVisibility(Notification.VISIBILITY_PUBLIC)
            .setOngoing(true)
            .setContentIntent(open)
        if (rings) builder.setFullScreenIntent(open, true)
        if (call != null) addButtons(context, builder, call, rings)
        val notification = builder.build()
        // Rings until the user does something about it.
        if (rings) notification.flags = notification.flags or Notification.FLAG_INSISTENT
        return notification
    }

    private fun addButtons(context: Context, builder: Notification.Builder, call: Call, rings: Boolean) {
        // From Android 12 on, a receiver may not open an activity: the answer goes to the activity itself.
        val answer = activity(context, 1, CallActivity.answer(context, call.uuid))
        val decline = CallChoiceReceiver.pending(context, 2, CallChoiceReceiver.DECLINE, call.uuid)
        val hangUp = CallChoiceReceiver.pending(context, 3, CallChoiceReceiver.HANG_UP, call.uuid)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S && (rings || CallService.running)) {
            val person = Person.Builder().setName(call.label).setImportant(true).build()
            builder.style =
                if (rings) Notification.CallStyle.forIncomingCall(person, decline, answer) else Notification.CallStyle.forOngoingCall(person, hangUp)
        } else if (rings) {
            builder.addAction(button(context, R.string.decline, decline)).addAction(button(context, R.string.answer, answer))
        } else {
            builder.addAction(button(context, R.string.hang_up, hangUp))
        }
    }

    private fun button(context: Context, text: Int, intent: PendingIntent) =
        Notification.Action.Builder(null, context.getString(text), intent).build()

    private fun activity(context: Context, code: Int, intent: Intent): PendingIntent = PendingIntent.getActivity(
        context, code, intent.addFlags(Intent.FLAG_ACTIVITY_NEW_TASK), PendingIntent.FLAG_IMMUTABLE or PendingIntent.FLAG_UPDATE_CURRENT,
    )

    private fun manager(context: Context): NotificationManager =
        checkNotNull(context.getSystemService(NotificationManager::class.java)) { "every phone has one" }
}
