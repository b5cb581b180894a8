package dev.sipwake.android

import android.content.Context
import android.os.Bundle
import com.google.firebase.messaging.RemoteMessage
import org.robolectric.Shadows.shadowOf

/** A message in the form in which Google Play services pass it to Firebase. */
fun message(data: Map<String, String>, delivered: Int = RemoteMessage.PRIORITY_HIGH) = RemoteMessage(
    Bundle().apply {
        data.forEach(::putString)
        putString("google.message_id", "0:${System.nanoTime()}")
        putString("google.delivered_priority", if (delivered == RemoteMessage.PRIORITY_HIGH) "high" else "normal")
        putString("google.original_priority", "high")
    },
)

/** Turns on Firebase installation ids, as the app's manifest does. */
fun usesIds(app: Context) {
    shadowOf(app.packageManager).getInternalMutablePackageInfo(app.packageName).applicationInfo!!.metaData =
        Bundle().apply { putBoolean(FirebaseTokens.IDS_ENABLED, true) }
}
