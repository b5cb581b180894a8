package dev.sipwake.sample.android

import android.content.Context
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
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.ui.CallScreen
import java.util.UUID

/** The call, over the lock screen. Shows nothing else of the app. */
class CallActivity : ComponentActivity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        showOverLockScreen()
        val phone = sample.phone
        setContent {
            val state by phone.state.collectAsState()
            val call = state.shown
            MaterialTheme {
                Surface(Modifier.fillMaxSize()) {
                    if (call == null) LaunchedEffect(Unit) { finishAndRemoveTask() } else CallScreen(call, phone::dispatch)
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

    /** In front, the app may start the service also for a call that came by notification. */
    override fun onStart() {
        super.onStart()
        if (sample.phone.state.value.shown != null && !CallService.running) CallService.start(this)
    }

    private fun takeAnswer(intent: Intent) {
        if (intent.action == ANSWER) intent.call?.let { sample.phone.dispatch(Action.AnswerTapped(it)) }
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

    companion object {
        private const val ANSWER = "dev.sipwake.sample.ANSWER"

        fun answer(context: Context, call: UUID): Intent = Intent(context, CallActivity::class.java).setAction(ANSWER).putCall(call)
    }
}
