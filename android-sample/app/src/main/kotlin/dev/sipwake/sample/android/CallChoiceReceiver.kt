package dev.sipwake.sample.android

import android.app.PendingIntent
import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import dev.sipwake.sample.logic.Action
import java.util.UUID

/** The notification's buttons that open nothing. */
class CallChoiceReceiver : BroadcastReceiver() {
    override fun onReceive(context: Context, intent: Intent) {
        val call = intent.call ?: return
        when (intent.action) {
            DECLINE -> context.sample.phone.dispatch(Action.DeclineTapped(call))
            HANG_UP -> context.sample.phone.dispatch(Action.HangUpTapped(call))
        }
    }

    companion object {
        const val DECLINE = "dev.sipwake.sample.DECLINE"
        const val HANG_UP = "dev.sipwake.sample.HANG_UP"

        fun pending(context: Context, code: Int, action: String, call: UUID): PendingIntent = PendingIntent.getBroadcast(
            context,
            code,
            Intent(context, CallChoiceReceiver::class.java).setAction(action).putCall(call),
            PendingIntent.FLAG_IMMUTABLE or PendingIntent.FLAG_UPDATE_CURRENT,
        )
    }
}

private const val CALL = "call"

internal fun Intent.putCall(call: UUID): Intent = putExtra(CALL, call.toString())

internal val Intent.call: UUID? get() = getStringExtra(CALL)?.let { runCatching { UUID.fromString(it) }.getOrNull() }
