package dev.sipwake.android

import android.os.Build
import android.telecom.CallAudioState
import android.telecom.CallEndpoint
import android.telecom.Connection
import android.telecom.DisconnectCause
import android.telecom.TelecomManager
import android.util.Log
import androidx.annotation.RequiresApi
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
 * A call in Android's Telecom. The user's actions there go to the client, and changes of the call go back to Telecom.
 *
 * [TelecomCalls] creates these and brings them their events, on the main thread.
 */
public class TelecomCall internal constructor(
    private val client: SipWakeClient,
    private val scope: CoroutineScope,
    /** The call's UUID, the same for its push and its INVITE. */
    public val uuid: UUID,
    private val controls: TelecomControls,
    private val describe: suspend (UUID, SessionDescription?) -> SessionDescription,
) : Connection() {
    init {
        connectionProperties = PROPERTY_SELF_MANAGED
        audioModeIsVoip = true
        if (controls.holds) connectionCapabilities = CAPABILITY_HOLD or CAPABILITY_SUPPORT_HOLD
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

    override fun onSilence(): Unit = controls.onSilence(uuid)

    override fun onShowIncomingCallUi(): Unit = controls.onShowIncomingCallUi(uuid)

    override fun onHold() {
        setOnHold()
        controls.onHold(uuid, true)
    }

    override fun onUnhold() {
        setActive()
        controls.onHold(uuid, false)
    }

    override fun onMuteStateChanged(isMuted: Boolean): Unit = controls.onMute(uuid, isMuted)

    @RequiresApi(34)
    override fun onCallEndpointChanged(endpoint: CallEndpoint): Unit = controls.onEndpoint(uuid, endpoint.endpointName, endpoint.endpointType)

    @Deprecated("Deprecated in Java")
    override fun onCallAudioStateChanged(state: CallAudioState) {
        // Android 14 reports both of these by functions of their own.
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.UPSIDE_DOWN_CAKE) return
        controls.onMute(uuid, state.isMuted)
        val type = ROUTES[state.route] ?: return
        controls.onEndpoint(uuid, CallAudioState.audioRouteToString(state.route), type)
    }

    override fun onPlayDtmfTone(digit: Char): Unit = controls.onDtmf(uuid, digit)

    override fun onStopDtmfTone(): Unit = controls.onDtmf(uuid, null)

    internal fun onEvent(event: SipWakeEvent.Call) {
        when (event) {
            is SipWakeEvent.CallAnswerWanted -> if (controls.accepts) wish {
                when (val answer = described(event.offer)) {
                    null -> client.hangUp(uuid, HangUp.Failed(NOT_ACCEPTABLE_HERE))
                    else -> client.accept(uuid, answer)
                }
            }
            is SipWakeEvent.CallOffered -> if (controls.accepts) wish { client.respondOffer(uuid, described(event.offer)) }
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

    /** Null if the app's media engine threw. */
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
                // The call is over. Another event reports its end.
            }
        }
    }

    private companion object {
        /** RFC 3261 section 21.4.26. */
        const val NOT_ACCEPTABLE_HERE = 488

        /** Routes before Android 14, as the endpoint types that Android 14 introduced. */
        val ROUTES = mapOf(
            CallAudioState.ROUTE_EARPIECE to TelecomControls.EARPIECE,
            CallAudioState.ROUTE_BLUETOOTH to TelecomControls.BLUETOOTH,
            CallAudioState.ROUTE_WIRED_HEADSET to TelecomControls.WIRED_HEADSET,
            CallAudioState.ROUTE_SPEAKER to TelecomControls.SPEAKER,
        )
    }
}

/** Returns the cause of a call's end for Telecom and for the phone's call log. */
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
