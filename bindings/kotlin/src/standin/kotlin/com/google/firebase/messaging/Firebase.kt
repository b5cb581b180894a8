// Stand in for Firebase's classes, which are Google's to distribute, while the adapters are compiled and tested without them. The part
// android-tools of scripts/test compiles and runs the same against Firebase itself. Nothing of this ships: an app brings
// com.google.firebase:firebase-messaging.

@file:Suppress("NO_EXPLICIT_VISIBILITY_IN_API_MODE", "NO_EXPLICIT_RETURN_TYPE_IN_API_MODE")

package com.google.firebase.messaging

import android.app.Service
import android.content.Intent
import android.os.Bundle
import android.os.IBinder
import com.google.android.gms.tasks.Task

/** As Google Play services hand it over: what is the server's own beside what they say of the message. */
class RemoteMessage(private val bundle: Bundle) {
    val data: Map<String, String>
        get() = bundle.keySet().filter { !it.startsWith("google.") }.mapNotNull { key -> bundle.getString(key)?.let { key to it } }.toMap()

    val priority: Int get() = priorityOf(bundle.getString("google.delivered_priority"))
    val originalPriority: Int get() = priorityOf(bundle.getString("google.original_priority"))

    private fun priorityOf(name: String?) = when (name) {
        "high" -> PRIORITY_HIGH
        "normal" -> PRIORITY_NORMAL
        else -> PRIORITY_UNKNOWN
    }

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

    open fun onUnregistered(installationId: String) {}

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
