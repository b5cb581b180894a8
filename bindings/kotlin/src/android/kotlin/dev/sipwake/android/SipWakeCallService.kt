package dev.sipwake.android

import android.Manifest
import android.app.Notification
import android.app.Service
import android.content.Intent
import android.content.pm.PackageManager
import android.content.pm.ServiceInfo
import android.os.Build
import android.os.IBinder
import androidx.annotation.RequiresApi
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.launch

/**
 * Keeps the process alive while it handles a push, and while a call rings or is up. It shows the call, and ends with the last one.
 *
 * Name it in the app's manifest: not exported, with `android:foregroundServiceType="phoneCall"`, or `phoneCall|microphone`. It
 * needs the permissions `FOREGROUND_SERVICE`, `FOREGROUND_SERVICE_PHONE_CALL` and `MANAGE_OWN_CALLS`.
 */
public open class SipWakeCallService : Service() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private var latestStart = 0
    private var follows = false
    private var microphone = false

    final override fun onBind(intent: Intent?): IBinder? = null

    final override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        val phone = phone
        synchronized(this) { latestStart = startId }
        phone.serviceRuns = true
        phone.serviceShows = ::show
        // This also runs if everything is over already. If a service was started as a foreground service and does not
        // become one, the app ends.
        show()
        if (!follows) {
            follows = true
            scope.launch { combine(phone.calls, phone.work) { _, _ -> }.collect { update() } }
        }
        return START_NOT_STICKY
    }

    final override fun onDestroy() {
        phone.serviceRuns = false
        phone.serviceShows = {}
        scope.cancel()
    }

    private fun update() {
        if (phone.busy) return show()
        @Suppress("DEPRECATION")
        stopForeground(true)
        // If a push came in the meantime, it has a higher number and keeps the service.
        stopSelf(synchronized(this) { latestStart })
    }

    @Synchronized
    private fun show() {
        val (id, notification) = phone.foreground()
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) startForeground(id, notification) else show(id, notification)
    }

    @RequiresApi(29)
    private fun show(id: Int, notification: Notification) {
        try {
            startForeground(id, notification, type())
        } catch (error: SecurityException) {
            phone.refuse(Refusal.SERVICE_TYPE, error)
            microphone = false
            attemptPhoneCall(id, notification)
        } catch (error: IllegalStateException) {
            // The app lost the right to it after it was started.
            phone.refuse(Refusal.SERVICE_START, error)
        }
    }

    @RequiresApi(29)
    private fun attemptPhoneCall(id: Int, notification: Notification) {
        try {
            startForeground(id, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_PHONE_CALL)
        } catch (error: RuntimeException) {
            phone.refuse(Refusal.SERVICE_TYPE, error)
            stopSelf()
        }
    }

    /** Uses the microphone only for a call that the user answered on the screen, until it ends. From the background Android refuses it. */
    internal fun type(): Int {
        val call = ServiceInfo.FOREGROUND_SERVICE_TYPE_PHONE_CALL
        val talks = phone.foremost()?.rings == false &&
            checkSelfPermission(Manifest.permission.RECORD_AUDIO) == PackageManager.PERMISSION_GRANTED
        microphone = talks && (microphone || phone.screenVisible)
        return if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R && microphone) call or ServiceInfo.FOREGROUND_SERVICE_TYPE_MICROPHONE else call
    }
}
