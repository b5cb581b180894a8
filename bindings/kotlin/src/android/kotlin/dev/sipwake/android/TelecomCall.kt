package dev.sipwake.android

import android.telecom.Connection
import android.telecom.DisconnectCause
import android.telecom.TelecomManager
import android.util.Log
import dev.sipwake.EndReason
import dev.sipwake.HangUp
import dev.sipwake.SessionDescription
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeEvent
import dev.sipwake.SipWakeException
import java.util.UUID
import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.launch

/**
 * A call as Android's Telecom sees it: what the user does there goes to the client, what becomes of the call goes back.
 *
 * [TelecomCalls] makes these and brings them their events, on the main thread.
 */
public class TelecomCall internal constructor(
    private val client: SipWakeClient,
    private val scope: CoroutineScope,
    /** The call's UUID: the same for its push and its INVITE. */
    public val uuid: UUID,
    private val describe: suspend (UUID, SessionDescription?) -> SessionDescription,
) : Connection() {
    init {
        connectionProperties = PROPERTY_SELF_MANAGED
        audioModeIsVoip = true
        setInitializing()
        setRinging()
    }

    // The call becomes active with the caller's ACK, not with the tap.
    override fun onAnswer(): Unit = wish { client.answer(uuid) }

    override fun onAnswer(videoState: Int): Unit = onAnswer()

    override fun onReject(): Unit = wish { client.decline(uuid) }

    override fun onReject(rejectReason: Int): Unit = onReject()

    override fun onReject(replyMessage: String?): Unit = onReject()

    override fun onDisconnect(): Unit = wish { client.hangUp(uuid) }

    override fun onAbort(): Unit = onDisconnect()

    internal fun onEvent(event: SipWakeEvent.Call) {
        when (event) {
            is SipWakeEvent.CallAnswerWanted -> wish {
                when (val answer = described(event.offer)) {
                    null -> client.hangUp(uuid, HangUp.Failed(NOT_ACCEPTABLE_HERE))
                    else -> client.accept(uuid, answer)
                }
            }
            is SipWakeEvent.CallOffered -> wish { client.respondOffer(uuid, described(event.offer)) }
            is SipWakeEvent.CallerChanged -> setCallerDisplayName(event.caller.displayName, TelecomManager.PRESENTATION_ALLOWED)
            is SipWakeEvent.CallConnected -> setActive()
            is SipWakeEvent.CallEnded -> end(disconnectCause(event.reason))
            else -> {}
        }
    }

    internal fun end(cause: DisconnectCause) {
        setDisconnected(cause)
        destroy()
    }

    /** Null when the app's media engine threw. */
    private suspend fun described(offer: SessionDescription?): SessionDescription? = try {
        describe(uuid, offer)
    } catch (cancelled: CancellationException) {
        throw cancelled
    } catch (error: Exception) {
        Log.w("sipwake", "no session description for call $uuid: ${error.javaClass.name}")
        null
    }

    private fun wish(action: suspend () -> Unit) {
        scope.launch {
            try {
                action()
            } catch (_: SipWakeException) {
                // The call is over, and its end is an event of its own.
            }
        }
    }

    private companion object {
        /** RFC 3261 section 21.4.26. */
        const val NOT_ACCEPTABLE_HERE = 488
    }
}

/** Returns what Telecom, and with it the phone's call log, is told of an end. */
public fun disconnectCause(reason: EndReason): DisconnectCause = DisconnectCause(
    when (reason) {
        EndReason.CANCELLED, EndReason.MISSED, EndReason.UNANSWERED -> DisconnectCause.MISSED
        EndReason.ANSWERED_ELSEWHERE -> DisconnectCause.ANSWERED_ELSEWHERE
        EndReason.DECLINED, EndReason.DECLINED_ELSEWHERE -> DisconnectCause.REJECTED
        EndReason.HUNG_UP_BY_CALLER -> DisconnectCause.REMOTE
        EndReason.HUNG_UP, EndReason.LOGGED_OUT -> DisconnectCause.LOCAL
        EndReason.FAILED -> DisconnectCause.ERROR
        EndReason.OTHER -> DisconnectCause.OTHER
    },
)
