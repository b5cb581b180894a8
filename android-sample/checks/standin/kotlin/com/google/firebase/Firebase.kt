// Replaces the parts of Firebase that only an app needs, when the sample is compiled. It is never shipped.

package com.google.firebase

class FirebaseOptions(val projectId: String?)

class FirebaseApp {
    val options = FirebaseOptions(null)

    companion object {
        @JvmStatic
        fun getInstance(): FirebaseApp = FirebaseApp()
    }
}
