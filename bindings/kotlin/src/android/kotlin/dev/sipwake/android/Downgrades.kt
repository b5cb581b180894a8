package dev.sipwake.android

import android.content.Context
import com.google.firebase.messaging.RemoteMessage
import kotlin.time.Duration.Companion.days

/** Remembers messages that were sent with high priority and came with normal one. Google lowers them for apps that show nothing. */
internal object Downgrades {
    private const val LAST = "downgraded"
    private val RECENT = 7.days

    fun note(context: Context, message: RemoteMessage) {
        if (message.originalPriority != RemoteMessage.PRIORITY_HIGH) return
        val records = records(context)
        when {
            message.priority != RemoteMessage.PRIORITY_HIGH -> records.edit().putLong(LAST, System.currentTimeMillis()).apply()
            records.contains(LAST) -> records.edit().remove(LAST).apply()
        }
    }

    /** Whether the last message that was sent with high priority was lowered, these days. */
    fun recent(context: Context): Boolean =
        System.currentTimeMillis() - records(context).getLong(LAST, 0) in 0..RECENT.inWholeMilliseconds

    private fun records(context: Context) = context.getSharedPreferences("dev.sipwake", Context.MODE_PRIVATE)
}
