package dev.sipwake.android

import android.app.usage.UsageStatsManager
import android.content.Context
import android.net.ConnectivityManager
import android.net.NetworkCapabilities
import android.os.Build
import androidx.annotation.RequiresApi
import dev.sipwake.Obstacle
import dev.sipwake.PhoneNetwork
import dev.sipwake.PhoneState
import dev.sipwake.Priority
import dev.sipwake.StandbyBucket

/**
 * Returns the state of this phone, for [dev.sipwake.SipWakeClient.report].
 *
 * @param channelId the channel of incoming calls. The default is that of [SipWakePhone]
 * @param priority the last push's priority as it was delivered, `RemoteMessage.getPriority()`
 */
@JvmOverloads
public fun phoneState(
    context: Context,
    channelId: String = CallNotifications.RINGING,
    priority: Priority? = null,
): PhoneState = PhoneState(
    obstacles = wakeObstacles(context, channelId).map { Obstacle.valueOf(it.name) },
    bucket = if (Build.VERSION.SDK_INT < Build.VERSION_CODES.P) null else bucket(context),
    network = network(context),
    priority = priority,
)

@RequiresApi(28)
private fun bucket(context: Context): StandbyBucket {
    val bucket = context.system<UsageStatsManager>().appStandbyBucket
    return when {
        bucket <= UsageStatsManager.STANDBY_BUCKET_ACTIVE -> StandbyBucket.ACTIVE
        bucket <= UsageStatsManager.STANDBY_BUCKET_WORKING_SET -> StandbyBucket.WORKING_SET
        bucket <= UsageStatsManager.STANDBY_BUCKET_FREQUENT -> StandbyBucket.FREQUENT
        bucket <= UsageStatsManager.STANDBY_BUCKET_RARE -> StandbyBucket.RARE
        else -> StandbyBucket.RESTRICTED
    }
}

private fun network(context: Context): PhoneNetwork {
    val connectivity = context.system<ConnectivityManager>()
    val capabilities = connectivity.getNetworkCapabilities(connectivity.activeNetwork) ?: return PhoneNetwork.NONE
    return when {
        capabilities.hasTransport(NetworkCapabilities.TRANSPORT_VPN) -> PhoneNetwork.VPN
        capabilities.hasTransport(NetworkCapabilities.TRANSPORT_WIFI) -> PhoneNetwork.WI_FI
        capabilities.hasTransport(NetworkCapabilities.TRANSPORT_CELLULAR) -> PhoneNetwork.MOBILE
        capabilities.hasTransport(NetworkCapabilities.TRANSPORT_ETHERNET) -> PhoneNetwork.ETHERNET
        else -> PhoneNetwork.OTHER
    }
}
