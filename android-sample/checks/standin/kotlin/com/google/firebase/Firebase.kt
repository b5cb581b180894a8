// Stands in for the parts of Firebase that only an app needs, while the sample is compiled. Never ships.

package com.google.firebase

class FirebaseOptions(val projectId: String?)

class FirebaseApp {
    val options = FirebaseOptions(null)

    companion object {
        @JvmStatic
        fun getInstance(): FirebaseApp = FirebaseApp()
    }
}
