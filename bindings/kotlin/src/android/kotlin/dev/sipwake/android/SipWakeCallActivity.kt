package dev.sipwake.android

import android.app.Activity
import android.app.KeyguardManager
import android.content.Intent
import android.os.Build
import android.os.Bundle
import android.view.Gravity
import android.view.WindowManager
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import androidx.annotation.MainThread
import androidx.annotation.RequiresApi
import java.util.UUID
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch

/**
 * The call screen. It wakes the phone and shows over the lock screen, as long as the call lasts. By default it is a name and two
 * buttons. Override [onCall] to draw your own.
 *
 * Name it in the app's manifest: not exported, with `android:launchMode="singleTask"`, `android:excludeFromRecents="true"` and
 * `android:taskAffinity=""`.
 */
public open class SipWakeCallActivity : Activity() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private var shown: UUID? = null
    private var seen = false

    /** The call that this screen is for. */
    protected val call: UUID? get() = shown

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.O_MR1) {
            showOverLockScreen()
        } else {
            @Suppress("DEPRECATION")
            window.addFlags(WindowManager.LayoutParams.FLAG_SHOW_WHEN_LOCKED or WindowManager.LayoutParams.FLAG_TURN_SCREEN_ON)
        }
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        take(intent)
        scope.launch { phone.calls.collect { runOnUiThread(::update) } }
    }

    @RequiresApi(27)
    private fun showOverLockScreen() {
        setShowWhenLocked(true)
        setTurnScreenOn(true)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        take(intent)
        update()
    }

    override fun onResume() {
        super.onResume()
        phone.callScreenShown(true)
    }

    override fun onPause() {
        phone.callScreenShown(false)
        super.onPause()
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    private fun take(intent: Intent) {
        shown = CallNotifications.callOf(intent)
        seen = false
        if (intent.action == Intent.ACTION_ANSWER) answer()
        update()
    }

    private fun update() {
        val now = phone.calls.value.find { it.uuid == shown }
        if (now == null) {
            // The call is over, or the push is not judged yet. A notification of an earlier process may have opened the
            // screen.
            if (!isFinishing) finish()
            return
        }
        seen = true
        onCall(now)
    }

    /** Draws the call, on the main thread, at each change. The screen closes by itself when the call is over. */
    @MainThread
    protected open fun onCall(call: PhoneCall) {
        val words = phone.settings.words
        val column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            gravity = Gravity.CENTER
        }
        column.addView(TextView(this).apply {
            text = call.label ?: words.unknownCaller
            textSize = NAME_SIZE
            gravity = Gravity.CENTER
        })
        fun button(label: CharSequence, tap: () -> Unit) = column.addView(Button(this).apply {
            text = label
            setOnClickListener { tap() }
        })
        if (call.rings) button(words.answer, ::answer)
        button(if (call.rings) words.decline else words.hangUp, ::hangUp)
        setContentView(column)
    }

    /** The user answers. The app asks Android to dismiss the keyguard, and the call is accepted when its INVITE is here. */
    protected fun answer() {
        system<KeyguardManager>().let { if (it.isKeyguardLocked) it.requestDismissKeyguard(this, null) }
        shown?.let(phone::answer)
    }

    /** The user declines or hangs up. */
    protected fun hangUp() {
        shown?.let(phone::hangUp)
    }

    private companion object {
        const val NAME_SIZE = 28f
    }
}
