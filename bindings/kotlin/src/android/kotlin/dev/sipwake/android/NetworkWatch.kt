package dev.sipwake.android

import android.Manifest
import android.content.Context
import android.net.ConnectivityManager
import android.net.LinkProperties
import android.net.Network
import androidx.annotation.RequiresPermission
import dev.sipwake.PushClient
import dev.sipwake.SipWakeException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch

/**
 * Tells a client or companion when the phone's network changes, until [close]: another network, or other addresses on the same one.
 *
 * Needs the permission `ACCESS_NETWORK_STATE`.
 */
public class NetworkWatch @RequiresPermission(Manifest.permission.ACCESS_NETWORK_STATE) constructor(
    context: Context,
    private val client: PushClient,
) : AutoCloseable {
    private val manager = context.system<ConnectivityManager>()
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private val callback = Callback()

    init {
        manager.registerDefaultNetworkCallback(callback)
    }

    override fun close() {
        manager.unregisterNetworkCallback(callback)
        scope.cancel()
    }

    private inner class Callback : ConnectivityManager.NetworkCallback() {
        private var known: Pair<Network, Set<Any>>? = null

        // This comes after onAvailable, and the first time with the network that the client began on.
        @Synchronized
        override fun onLinkPropertiesChanged(network: Network, properties: LinkProperties) {
            val now = network to properties.linkAddresses.mapTo(HashSet<Any>()) { it.address }
            val before = known
            known = now
            if (before == null || before == now) return
            scope.launch {
                try {
                    client.tellNetworkChanged()
                } catch (_: SipWakeException) {
                    // The client is closed. This will be closed, too.
                }
            }
        }
    }
}
