package dev.sipwake.sample.android

import android.Manifest
import android.content.Intent
import android.os.Build
import android.os.Bundle
import android.util.Log
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.compose.runtime.collectAsState
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.setValue
import dev.sipwake.android.WakeObstacle
import dev.sipwake.android.phoneState
import dev.sipwake.android.wakeObstacles
import dev.sipwake.sample.ui.SampleApp
import java.io.IOException

class MainActivity : ComponentActivity() {
    private var obstacles by mutableStateOf(emptyList<WakeObstacle>())

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        val sample = app.sample
        setContent {
            val state by sample.state.collectAsState()
            SampleApp(
                state = state,
                obstacles = obstacles.map(::words),
                messages = sample.trace.newest(MESSAGES_SHOWN),
                dispatch = sample::dispatch,
                onObstacle = { obstacles.getOrNull(it)?.let(::openSettings) },
                onExport = ::chooseFile,
                onReport = { sample.report(phoneState(this), ::share) },
            )
        }
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            requestPermissions(arrayOf(Manifest.permission.POST_NOTIFICATIONS), 0)
        }
    }

    override fun onStart() {
        super.onStart()
        app.phone.fetchToken()
        // Nearly every app is subject to Doze, and calls come with high priority.
        obstacles = wakeObstacles(this) - WakeObstacle.SUBJECT_TO_DOZE
    }

    private fun words(obstacle: WakeObstacle): String = when (obstacle) {
        WakeObstacle.NOTIFICATIONS_OFF -> "Notifications are off: no call shows"
        WakeObstacle.CHANNEL_OFF -> "The notifications of calls are off or silent"
        WakeObstacle.NO_FULL_SCREEN -> "Calls don't show over the lock screen"
        WakeObstacle.NO_PLAY_SERVICES -> "There are no Google Play services: no call arrives"
        WakeObstacle.OLD_PLAY_SERVICES -> "Google Play services are too old"
        WakeObstacle.DEPRIORITISED -> "Google lowers the server's messages: calls may come late"
        WakeObstacle.BACKGROUND_RESTRICTED -> "Battery use is restricted: calls may come late"
        WakeObstacle.RARELY_USED -> "Android takes this app for hardly used: calls may come late"
        WakeObstacle.DATA_SAVER -> "Data Saver keeps calls away on mobile data"
        WakeObstacle.HIBERNATION -> "Android stops this app when it is not opened for months"
        WakeObstacle.NO_LOCAL_NETWORK -> "The app may not reach servers in the local network"
        WakeObstacle.MAKER_STOPS_APPS -> "This phone's maker may stop the app in the background"
        WakeObstacle.NOT_AFTER_RESTART -> "After a restart of the phone, log-outs wait for the app to be opened"
        WakeObstacle.SUBJECT_TO_DOZE -> "Messages of normal priority wait while the phone sleeps"
    }

    private fun openSettings(obstacle: WakeObstacle) {
        obstacle.intent(this)?.let(::startActivity)
    }

    private fun share(report: String) {
        val intent = Intent(Intent.ACTION_SEND).setType("application/json").putExtra(Intent.EXTRA_TEXT, report)
        startActivity(Intent.createChooser(intent, null))
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
            contentResolver.openOutputStream(file, "wt")?.use { it.write(app.sample.trace.export().encodeToByteArray()) }
        } catch (error: IOException) {
            Log.w("sipwake-sample", "the trace was not written: $error")
        }
    }

    private companion object {
        const val EXPORT = 1
        const val MESSAGES_SHOWN = 50
    }
}
