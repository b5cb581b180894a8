package dev.sipwake.android

import android.util.Log
import androidx.annotation.MainThread
import java.util.UUID

/** Telecom's requests to the app: its ringing, its media, its screen. All calls are on the main thread. The default does nothing. */
@MainThread
public open class TelecomControls {
    /** Whether calls can be held. If so, [onHold] tells the media engine. */
    public open val holds: Boolean get() = false

    /** A [SipWakePhone] accepts calls by itself. */
    internal open val accepts: Boolean get() = true

    /** The user pressed a volume key. Stop the ringing. The user can still answer the call (from Android 13). */
    public open fun onSilence(call: UUID) {}

    /** The app must show the call, because the phone is in a call of another app. */
    public open fun onShowIncomingCallUi(call: UUID) {}

    /** The call was held, or continues. */
    public open fun onHold(call: UUID, held: Boolean) {}

    /** The user muted or unmuted the microphone. */
    public open fun onMute(call: UUID, muted: Boolean) {}

    /**
     * The sound goes to this endpoint now.
     *
     * @param name the name to show
     * @param type as of `CallEndpoint`: [EARPIECE], [BLUETOOTH], [WIRED_HEADSET], [SPEAKER] or another
     */
    public open fun onEndpoint(call: UUID, name: CharSequence, type: Int) {}

    /** A key is pressed. Null when it is released. */
    public open fun onDtmf(call: UUID, digit: Char?) {}

    /** Telecom refused the call. It continues without headsets and cars. */
    public open fun onRefused(call: UUID, error: RuntimeException) {
        Log.w("sipwake", "Telecom refused call $call: $error")
    }

    public companion object {
        public const val EARPIECE: Int = 1
        public const val BLUETOOTH: Int = 2
        public const val WIRED_HEADSET: Int = 3
        public const val SPEAKER: Int = 4
    }
}
