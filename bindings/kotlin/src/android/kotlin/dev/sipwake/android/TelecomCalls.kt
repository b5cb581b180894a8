package dev.sipwake.android

import android.Manifest
import android.content.ComponentName
import android.content.Context
import android.net.Uri
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.telecom.Connection
import android.telecom.ConnectionRequest
import android.telecom.ConnectionService
import android.telecom.DisconnectCause
import android.telecom.PhoneAccount
import android.telecom.PhoneAccountHandle
import android.telecom.TelecomManager
import androidx.annotation.RequiresPermission
import dev.sipwake.DeclineHow
import dev.sipwake.PushAction
import dev.sipwake.SessionDescription
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeEvent
import dev.sipwake.SipWakeException
import java.util.UUID
import java.util.concurrent.Executor
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch

/**
 * Puts the client's calls into Android's Telecom, self-managed: beside the phone's own calls, on headsets and in cars.
 *
 * Create it with the client, before the first push. It calls Telecom on the main thread, from whatever thread you call. The app
 * needs the permission `MANAGE_OWN_CALLS`. Its manifest needs the service, with the permission `BIND_TELECOM_CONNECTION_SERVICE`
 * and the action `android.telecom.ConnectionService`.
 *
 * @param service the app's [TelecomCallService]
 * @param label the app's name in Telecom
 * @param controls does what Telecom asks the app to do
 * @param describe returns the app's answer to an offer or, if the caller made none, its own offer. It is called for an answered
 *   call and for new media during the call. This class accepts and responds by itself. If it throws, the call ends with 488, or the
 *   new media is refused
 */
public class TelecomCalls @RequiresPermission(Manifest.permission.MANAGE_OWN_CALLS) constructor(
    context: Context,
    private val client: SipWakeClient,
    service: Class<out TelecomCallService>,
    label: CharSequence,
    private val controls: TelecomControls = TelecomControls(),
    private val describe: suspend (call: UUID, offer: SessionDescription?) -> SessionDescription,
) : AutoCloseable {
    private val telecom = context.system<TelecomManager>()
    private val handle = PhoneAccountHandle(ComponentName(context, service), "sipwake")
    // Dispatchers.Main would need another library.
    private val main = Handler(Looper.getMainLooper())
    private val scope = CoroutineScope(SupervisorJob() + Executor { main.post(it) }.asCoroutineDispatcher())

    /** Calls that Telecom knows but has asked for no connection yet, with their events in the meantime. */
    private val awaited = HashMap<UUID, MutableList<SipWakeEvent.Call>>()

    /** A call may end before its push is announced, or before Telecom asks for it. */
    private val ended = object : LinkedHashMap<UUID, DisconnectCause>() {
        override fun removeEldestEntry(eldest: Map.Entry<UUID, DisconnectCause>): Boolean = size > ENDS_KEPT
    }
    private val calls = HashMap<UUID, TelecomCall>()

    init {
        val account = PhoneAccount.builder(handle, label)
            .setCapabilities(PhoneAccount.CAPABILITY_SELF_MANAGED)
            .addSupportedUriScheme(PhoneAccount.SCHEME_SIP)
            .addSupportedUriScheme(PhoneAccount.SCHEME_TEL)
            // The phone's own call log shows these calls.
            .setExtras(Bundle().apply { putBoolean(PhoneAccount.EXTRA_LOG_SELF_MANAGED_CALLS, true) })
            .build()
        telecom.registerPhoneAccount(account)
        scope.launch {
            try {
                client.events.collect { if (it is SipWakeEvent.Call) onEvent(it) }
            } catch (_: SipWakeException) {
                // The client is closed.
            }
            endAll()
        }
    }

    /**
     * Tells Telecom about a call that a push announced, or that rings without an announcement. Call it from any thread. Then
     * Telecom asks the service for a connection. [TelecomControls.onRefused] gets Telecom's refusals, for example without the
     * permission `MANAGE_OWN_CALLS`.
     *
     * @param caller the caller's number or URI, empty if unknown
     */
    public fun announce(call: UUID, caller: String, displayName: String?) {
        if (Looper.myLooper() == main.looper) announceHere(call, caller, displayName)
        else main.post { announceHere(call, caller, displayName) }
    }

    private fun announceHere(call: UUID, caller: String, displayName: String?) {
        if (call in calls || call in awaited) return
        val extras = Bundle().apply {
            putString(EXTRA_CALL, call.toString())
            putString(EXTRA_NAME, displayName)
            if (caller.isNotEmpty()) putParcelable(TelecomManager.EXTRA_INCOMING_CALL_ADDRESS, address(caller))
        }
        try {
            telecom.addNewIncomingCall(handle, extras)
        } catch (refused: RuntimeException) {
            return controls.onRefused(call, refused)
        }
        awaited[call] = mutableListOf()
    }

    /** The same for a push. */
    public fun announce(call: PushAction.IncomingCall): Unit =
        announce(call.uuid, call.details.caller.orEmpty(), call.details.callerLabel)

    override fun close() {
        scope.cancel()
        endAll()
    }

    internal fun connect(request: ConnectionRequest): Connection {
        val uuid = callOf(request)
        // If nobody waits for this UUID, it belongs to an earlier process or to no call.
        val missed = uuid?.let(awaited::remove) ?: return Connection.createCanceledConnection()
        ended[uuid]?.let { return Connection.createFailedConnection(it) }
        val call = TelecomCall(client, scope, uuid, controls, describe)
        call.setAddress(request.address, TelecomManager.PRESENTATION_ALLOWED)
        request.extras.getString(EXTRA_NAME)?.let { call.setCallerDisplayName(it, TelecomManager.PRESENTATION_ALLOWED) }
        calls[uuid] = call
        // The user may have answered on the app's own screen before Telecom was ready.
        missed.forEach(call::onEvent)
        return call
    }

    internal fun hasEnded(call: UUID): Boolean = call in ended

    /** The phone is in a call that can't be held. */
    internal fun refused(request: ConnectionRequest?) {
        val uuid = request?.let(::callOf) ?: return
        awaited -= uuid
        scope.launch {
            try {
                client.decline(uuid, DeclineHow.BUSY)
            } catch (_: SipWakeException) {
                // It is over.
            }
        }
    }

    internal fun onEvent(event: SipWakeEvent.Call) {
        calls[event.uuid]?.onEvent(event)
        awaited[event.uuid]?.let { if (it.size < EVENTS_KEPT) it += event }
        if (event !is SipWakeEvent.CallEnded) return
        calls -= event.uuid
        ended[event.uuid] = disconnectCause(event.reason)
    }

    private fun endAll() {
        calls.values.forEach { it.end(DisconnectCause(DisconnectCause.LOCAL)) }
        calls.clear()
        awaited.clear()
    }

    private fun callOf(request: ConnectionRequest): UUID? =
        request.extras?.getString(EXTRA_CALL)?.let { runCatching { UUID.fromString(it) }.getOrNull() }

    /** The call log takes only `sip:` and `tel:`. */
    private fun address(caller: String): Uri = when {
        caller.startsWith("sip:") || caller.startsWith("tel:") -> Uri.parse(caller)
        caller.startsWith("sips:") -> Uri.parse("sip:" + caller.removePrefix("sips:"))
        caller.all { it.isDigit() || it in "+*#-. ()" } -> Uri.fromParts(PhoneAccount.SCHEME_TEL, caller, null)
        else -> Uri.fromParts(PhoneAccount.SCHEME_SIP, caller, null)
    }

    public companion object {
        /** Whether this device has a Telecom that takes calls of apps. Some tablets and watches have none. */
        @JvmStatic
        public fun isSupported(context: Context): Boolean = context.getSystemService(TelecomManager::class.java) != null &&
            FEATURES.any(context.packageManager::hasSystemFeature)

        /** The second is the name of the first before Android 13. */
        private val FEATURES = listOf("android.software.telecom", "android.software.connectionservice")
        private const val ENDS_KEPT = 128
        private const val EVENTS_KEPT = 16
        private const val EXTRA_CALL = "dev.sipwake.call"
        private const val EXTRA_NAME = "dev.sipwake.name"
    }
}

/** The service that Telecom binds to. It passes Telecom's requests to the process's [TelecomCalls]. */
public abstract class TelecomCallService : ConnectionService() {
    /** The process's one instance. */
    protected abstract val calls: TelecomCalls

    /** Shows the call, on the app's own screen or as a notification. A self-managed app must do this. */
    protected open fun onShowCall(call: TelecomCall) {}

    final override fun onCreateIncomingConnection(account: PhoneAccountHandle?, request: ConnectionRequest): Connection =
        calls.connect(request).also { if (it is TelecomCall) onShowCall(it) }

    final override fun onCreateIncomingConnectionFailed(account: PhoneAccountHandle?, request: ConnectionRequest?): Unit =
        calls.refused(request)
}
