package dev.sipwake.sample.android

import android.app.Service
import android.content.Context
import android.content.Intent
import android.content.pm.ServiceInfo
import android.os.Build
import android.os.IBinder
import android.util.Log
import dev.sipwake.sample.logic.Call
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.launch

/** Keeps the process alive while a call rings or goes on. Ends by itself with the last call. */
class CallService : Service() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate)
    private var latestStart = 0

    override fun onBind(intent: Intent?): IBinder? = null

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        val first = !running
        running = true
        latestStart = startId
        // Also for a call that is over by now: who was started as a foreground service and does not become one is ended.
        show(sample.phone.state.value.shown)
        if (first) scope.launch {
            sample.phone.state.map { it.shown }.distinctUntilChanged().collect { if (it == null) end() else show(it) }
        }
        return START_NOT_STICKY
    }

    override fun onDestroy() {
        running = false
        scope.cancel()
    }

    private fun show(call: Call?) {
        val notification = CallNotifications.build(this, call)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            startForeground(CallNotifications.ID, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_PHONE_CALL)
        } else {
            startForeground(CallNotifications.ID, notification)
        }
    }

    private fun end() {
        stopForeground(STOP_FOREGROUND_REMOVE)
        // A call that was started for meanwhile has a higher number, and keeps the service.
        stopSelf(latestStart)
    }

    companion object {
        @Volatile
        var running = false
            private set

        /** Returns `false` where Android does not allow it, whatever the push's priority promised. */
        fun start(context: Context): Boolean = try {
            context.startForegroundService(Intent(context, CallService::class.java)) != null
        } catch (error: IllegalStateException) {
            Log.w("sipwake-sample", "no foreground service: $error")
            false
        }
    }
}
