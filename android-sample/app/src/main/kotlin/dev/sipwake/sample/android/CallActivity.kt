package dev.sipwake.sample.android

import android.content.Intent
import android.os.Build
import android.os.Bundle
import android.view.WindowManager
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.collectAsState
import androidx.compose.runtime.getValue
import androidx.compose.ui.Modifier
import dev.sipwake.android.CallPhase
import dev.sipwake.android.PhoneCall
import dev.sipwake.android.SipWakePhone
import dev.sipwake.sample.logic.Call
import dev.sipwake.sample.logic.Phase
import dev.sipwake.sample.ui.CallScreen

/** The call, over the lock screen. Shows nothing else of the app. */
class CallActivity : ComponentActivity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        showOverLockScreen()
        val (phone, sample) = app.phone to app.sample
        setContent {
            // The phone's own calls: they are there when the push is handed over, before any event.
            val calls by phone.calls.collectAsState()
            val call = calls.firstOrNull { it.rings } ?: calls.firstOrNull()
            MaterialTheme {
                Surface(Modifier.fillMaxSize()) {
                    if (call == null) LaunchedEffect(Unit) { finishAndRemoveTask() } else CallScreen(call.shown(), sample::dispatch)
                }
            }
        }
        // A recreated activity keeps its intent: the tap on its button was one tap.
        if (savedInstanceState == null) takeAnswer(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        takeAnswer(intent)
    }

    override fun onResume() {
        super.onResume()
        app.phone.callScreenShown(true)
    }

    override fun onPause() {
        app.phone.callScreenShown(false)
        super.onPause()
    }

    private fun takeAnswer(intent: Intent) {
        if (intent.action == Intent.ACTION_ANSWER) SipWakePhone.callOf(intent)?.let(app.phone::answer)
    }

    private fun showOverLockScreen() {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.O_MR1) {
            setShowWhenLocked(true)
            setTurnScreenOn(true)
        } else {
            @Suppress("DEPRECATION")
            window.addFlags(WindowManager.LayoutParams.FLAG_SHOW_WHEN_LOCKED or WindowManager.LayoutParams.FLAG_TURN_SCREEN_ON)
        }
    }
}

private fun PhoneCall.shown() = Call(
    uuid,
    caller,
    label,
    when (phase) {
        CallPhase.ANNOUNCED -> Phase.ANNOUNCED
        CallPhase.RINGING -> Phase.RINGING
        CallPhase.ANSWERING -> Phase.ANSWERING
        CallPhase.CONNECTED -> Phase.CONNECTED
    },
)
