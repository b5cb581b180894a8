package dev.sipwake.android

import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent

/** Takes the notification's Decline and Hang up, which open nothing. It is not exported, or another app could end calls. */
public class SipWakeCallReceiver : BroadcastReceiver() {
    override fun onReceive(context: Context, intent: Intent) {
        if (intent.action == CallNotifications.ACTION_HANG_UP) CallNotifications.callOf(intent)?.let(context.phone::hangUp)
    }
}
