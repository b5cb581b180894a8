// Stand in for Firebase's classes, which are not on Maven Central, while the adapters are compiled and tested without them.
// Nothing of this ships: an app brings com.google.firebase:firebase-messaging.

@file:Suppress("NO_EXPLICIT_VISIBILITY_IN_API_MODE", "NO_EXPLICIT_RETURN_TYPE_IN_API_MODE")

package com.google.firebase.messaging

import android.app.Service
import android.content.Intent
import android.os.IBinder
import com.google.android.gms.tasks.Task

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

    open fun onRegistered(installationId: String) {}

    override fun onBind(intent: Intent?): IBinder? = null
}

class FirebaseMessaging {
    val token: Task<String> get() = answers.token
    fun register(): Task<Void> = answers.also { it.registers++ }.register

    companion object {
        /** What a test has Firebase say. */
        var answers = Answers()

        @JvmStatic
        fun getInstance(): FirebaseMessaging = FirebaseMessaging()
    }

    class Answers(val token: Task<String> = Task(), val register: Task<Void> = Task()) {
        var registers = 0
    }
}
