// Stands in for the parts of Firebase that only an app needs, while the sample is compiled. Never ships.

package com.google.firebase.messaging

import com.google.android.gms.tasks.Task

class FirebaseMessaging {
    val token: Task<String> = Task()

    companion object {
        @JvmStatic
        fun getInstance(): FirebaseMessaging = FirebaseMessaging()
    }
}
