package dev.sipwake.sample.android

import android.Manifest
import android.content.Intent
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.Settings
import android.util.Log
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.compose.runtime.collectAsState
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.setValue
import dev.sipwake.android.WakeObstacle
import dev.sipwake.android.wakeObstacles
import dev.sipwake.sample.ui.SampleApp
import java.io.IOException

class MainActivity : ComponentActivity() {
    private var obstacles by mutableStateOf(emptyList<WakeObstacle>())

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        val phone = sample.phone
        setContent {
            val state by phone.state.collectAsState()
            SampleApp(
                state = state,
                obstacles = obstacles.map(::words),
                messages = phone.trace.newest(MESSAGES_SHOWN),
                dispatch = phone::dispatch,
                onObstacle = { obstacles.getOrNull(it)?.let(::openSettings) },
                onExport = ::chooseFile,
            )
        }
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            requestPermissions(arrayOf(Manifest.permission.POST_NOTIFICATIONS), 0)
        }
    }

    override fun onStart() {
        super.onStart()
        sample.fetchToken()
        // Nearly every app is subject to Doze, and calls come with high priority.
        obstacles = wakeObstacles(this) - WakeObstacle.SUBJECT_TO_DOZE
    }

    private fun words(obstacle: WakeObstacle): String = when (obstacle) {
        WakeObstacle.NOTIFICATIONS_OFF -> "Notifications are off: no call shows"
        WakeObstacle.NO_FULL_SCREEN -> "Calls don't show over the lock screen"
        WakeObstacle.BACKGROUND_RESTRICTED -> "Battery use is restricted: calls may come late"
        WakeObstacle.RARELY_USED -> "Android takes this app for hardly used: calls may come late"
        WakeObstacle.SUBJECT_TO_DOZE -> "Messages of normal priority wait while the phone sleeps"
    }

    private fun openSettings(obstacle: WakeObstacle) {
        val app = Uri.fromParts("package", packageName, null)
        val intent = when {
            obstacle == WakeObstacle.NOTIFICATIONS_OFF ->
                Intent(Settings.ACTION_APP_NOTIFICATION_SETTINGS).putExtra(Settings.EXTRA_APP_PACKAGE, packageName)
            obstacle == WakeObstacle.NO_FULL_SCREEN && Build.VERSION.SDK_INT >= Build.VERSION_CODES.UPSIDE_DOWN_CAKE ->
                Intent(Settings.ACTION_MANAGE_APP_USE_FULL_SCREEN_INTENT, app)
            else -> Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, app)
        }
        startActivity(intent)
    }

    private fun chooseFile() {
        val intent = Intent(Intent.ACTION_CREATE_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("text/plain")
            .putExtra(Intent.EXTRA_TITLE, "sipwake-trace.txt")
        @Suppress("DEPRECATION")
        startActivityForResult(intent, EXPORT)
    }

    @Deprecated("Deprecated in Java")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        @Suppress("DEPRECATION")
        super.onActivityResult(requestCode, resultCode, data)
        val file = data?.data
        if (requestCode != EXPORT || resultCode != RESULT_OK || file == null) return
        try {
            contentResolver.openOutputStream(file, "wt")?.use { it.write(sample.phone.trace.export().encodeToByteArray()) }
        } catch (error: IOException) {
            Log.w("sipwake-sample", "the trace was not written: $error")
        }
    }

    private companion object {
        const val EXPORT = 1
        const val MESSAGES_SHOWN = 50
    }
}
