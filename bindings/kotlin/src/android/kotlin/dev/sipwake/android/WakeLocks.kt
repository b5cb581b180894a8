package dev.sipwake.android

import android.content.Context
import android.os.PowerManager
import android.util.Log
import kotlin.time.Duration

/**
 * Keeps the processor awake from a push until the call is answered or over. Firebase releases its own lock when its handler
 * returns, before the server has responded to the REGISTER. Every lock has a time limit, so it ends even if nothing releases it.
 */
internal class WakeLocks(context: Context, private val refused: (SecurityException) -> Unit = { Log.w("sipwake", "no wakelock: $it") }) {
    private val lock = context.system<PowerManager>()
        .newWakeLock(PowerManager.PARTIAL_WAKE_LOCK, "sipwake:push")
        .apply { setReferenceCounted(false) }

    /** A second call prolongs it. It needs the permission `WAKE_LOCK`, which Firebase's library brings along. */
    fun hold(time: Duration): Unit = try {
        lock.acquire(time.inWholeMilliseconds)
    } catch (error: SecurityException) {
        refused(error)
    }

    fun letGo() {
        if (lock.isHeld) lock.release()
    }
}
