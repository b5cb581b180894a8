// Stand in for Firebase's classes, which are not on Maven Central, while the adapters are compiled and tested without them.
// Nothing of this ships: an app brings com.google.firebase:firebase-messaging.

package com.google.firebase.messaging

import android.app.Service
import android.content.Intent
import android.os.IBinder

class RemoteMessage(val data: Map<String, String>, val priority: Int, val originalPriority: Int) {
    companion object {
        const val PRIORITY_UNKNOWN = 0
        const val PRIORITY_HIGH = 1
        const val PRIORITY_NORMAL = 2
    }
}

abstract class FirebaseMessagingService : Service() {
    open fun onMessageReceived(message: RemoteMessage) {}

    open fun onNewToken(token: String) {}

    override fun onBind(intent: Intent?): IBinder? = null
}
