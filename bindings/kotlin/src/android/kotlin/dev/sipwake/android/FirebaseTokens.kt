package dev.sipwake.android

import android.content.Context
import android.content.pm.PackageManager
import com.google.firebase.messaging.FirebaseMessaging

/**
 * Firebase has two kinds of token: registration tokens and, from firebase-messaging 25.1 on, installation ids, if the manifest of
 * the app or of a library turns them on. An app never has both. With installation ids, `getToken` fails.
 */
internal object FirebaseTokens {
    /** Turns on installation ids, for the whole app. */
    const val IDS_ENABLED = "firebase_messaging_installation_id_enabled"

    /** Google Play services that know installation ids. */
    const val IDS_SINCE = 261_200_000L

    /** Asks for the token. An installation id comes to the service's `onRegistered`. */
    fun fetch(context: Context, told: (Result<String>) -> Unit) {
        val firebase = FirebaseMessaging.getInstance()
        if (usesIds(context)) return register(firebase, told)
        firebase.token.addOnSuccessListener { told(Result.success(it)) }.addOnFailureListener { error ->
            // Installation ids are on, although the manifest did not say so. After other failures, such as no network
            // or no Play services, try again at the next start.
            if (error is IllegalStateException) register(firebase, told) else told(Result.failure(error))
        }
    }

    private fun register(firebase: FirebaseMessaging, told: (Result<String>) -> Unit) {
        try {
            firebase.register().addOnFailureListener { told(Result.failure(it)) }
        } catch (_: NoSuchMethodError) {
            told(Result.failure(IllegalStateException("firebase-messaging is older than 25.1 and gives no token")))
        }
    }

    fun usesIds(context: Context): Boolean {
        @Suppress("DEPRECATION")
        val app = context.packageManager.getApplicationInfo(context.packageName, PackageManager.GET_META_DATA)
        return app.metaData?.getBoolean(IDS_ENABLED) == true
    }
}
