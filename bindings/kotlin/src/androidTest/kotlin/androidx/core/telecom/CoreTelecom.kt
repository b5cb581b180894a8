// Takes the place of Jetpack's core-telecom 1.0.0, which is not on Maven Central, with the signatures of its api/current.txt. It is not
// shipped. It is as strict as the library: it accepts no call before the app is registered, and the end of the scope ends the call.

package androidx.core.telecom

import android.content.Context
import android.net.Uri
import android.telecom.DisconnectCause
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.coroutineScope

class CallAttributesCompat(
    val displayName: CharSequence,
    val address: Uri,
    val direction: Int,
    val callType: Int = CALL_TYPE_AUDIO_CALL,
    val callCapabilities: Int = 0,
) {
    companion object {
        const val DIRECTION_INCOMING = 1
        const val CALL_TYPE_AUDIO_CALL = 1
    }
}

sealed class CallControlResult {
    class Success : CallControlResult()

    class Error(val errorCode: Int) : CallControlResult()
}

interface CallControlScope : CoroutineScope {
    suspend fun answer(callType: Int): CallControlResult
    suspend fun setActive(): CallControlResult
    suspend fun setInactive(): CallControlResult
    suspend fun disconnect(disconnectCause: DisconnectCause): CallControlResult
}

class CallsManager(@Suppress("UNUSED_PARAMETER") context: Context) {
    private var registered = false

    fun registerAppWithTelecom(capabilities: Int) {
        check(capabilities == CAPABILITY_BASELINE)
        registered = true
    }

    suspend fun addCall(
        callAttributes: CallAttributesCompat,
        onAnswer: suspend (callType: Int) -> Unit,
        onDisconnect: suspend (disconnectCause: DisconnectCause) -> Unit,
        onSetActive: suspend () -> Unit,
        onSetInactive: suspend () -> Unit,
        block: CallControlScope.() -> Unit,
    ): Unit = coroutineScope {
        check(registered) { "registerAppWithTelecom comes first" }
        val call = Added(this, callAttributes, onAnswer, onDisconnect)
        added += call
        call.block()
    }

    /** The other side, for the tests: the user's headset or car. */
    class Added(
        scope: CoroutineScope,
        val attributes: CallAttributesCompat,
        val onAnswer: suspend (Int) -> Unit,
        val onDisconnect: suspend (DisconnectCause) -> Unit,
    ) : CallControlScope, CoroutineScope by scope {
        val told = mutableListOf<String>()

        override suspend fun answer(callType: Int) = tell("answer")
        override suspend fun setActive() = tell("active")
        override suspend fun setInactive() = tell("inactive")
        override suspend fun disconnect(disconnectCause: DisconnectCause) = tell("disconnect ${disconnectCause.code}").also { cancel() }

        @Synchronized
        private fun tell(what: String): CallControlResult {
            told += what
            return CallControlResult.Success()
        }
    }

    companion object {
        const val CAPABILITY_BASELINE = 1
        val added = java.util.concurrent.CopyOnWriteArrayList<Added>()
    }
}
