package dev.sipwake.sample.android

import android.app.Application
import android.content.Context
import android.content.pm.PackageManager
import android.os.Handler
import android.os.Looper
import android.telecom.TelecomManager
import android.util.Log
import com.google.firebase.FirebaseApp
import com.google.firebase.messaging.FirebaseMessaging
import dev.sipwake.android.InactiveMedia
import dev.sipwake.android.KeystoreStateStore
import dev.sipwake.android.NetworkWatch
import dev.sipwake.android.TelecomCalls
import dev.sipwake.sample.R
import dev.sipwake.sample.logic.Phone
import dev.sipwake.sample.logic.Settings
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob

/** Makes the one client, before Firebase hands over the push that started the process. */
class SampleApplication : Application() {
    lateinit var phone: Phone
        private set

    /** Absent on a device that knows no calls. */
    var telecom: TelecomCalls? = null
        private set

    private val main = Handler(Looper.getMainLooper())

    override fun onCreate() {
        super.onCreate()
        CallNotifications.createChannels(this)
        val display = CallsOnScreen(this, main)
        phone = Phone(
            records = KeystoreStateStore(this),
            display = display,
            scope = CoroutineScope(SupervisorJob() + Dispatchers.Default),
            defaults = Settings(project = FirebaseApp.getInstance().options.projectId.orEmpty()),
        )
        if (hasTelecom()) {
            telecom = TelecomCalls(this, phone.client, SampleConnectionService::class.java, getString(R.string.app_name)) { _, offer ->
                InactiveMedia.answer(offer)
            }
        }
        NetworkWatch(this, phone.client)
        fetchToken()
    }

    /** Firebase gives the same token until it changes; handing it over again costs nothing. */
    fun fetchToken() {
        FirebaseMessaging.getInstance().token
            .addOnSuccessListener { phone.tokenCame(it) }
            .addOnFailureListener { Log.w("sipwake-sample", "Firebase gives no token: $it") }
    }

    private fun hasTelecom(): Boolean =
        getSystemService(TelecomManager::class.java) != null &&
            TELECOM_FEATURES.any(packageManager::hasSystemFeature)

    private companion object {
        @Suppress("DEPRECATION")
        val TELECOM_FEATURES = listOf(PackageManager.FEATURE_TELECOM, PackageManager.FEATURE_CONNECTION_SERVICE)
    }
}

val Context.sample: SampleApplication get() = applicationContext as SampleApplication
