package dev.sipwake.android

import android.Manifest
import android.app.ActivityManager
import android.app.NotificationManager
import android.app.usage.UsageStatsManager
import android.content.Context
import android.content.Intent
import android.content.pm.PackageInfo
import android.content.pm.PackageManager
import android.net.ConnectivityManager
import android.net.Uri
import android.os.Build
import android.os.PowerManager
import android.provider.Settings
import androidx.annotation.RequiresApi

/** Something in the phone's settings that keeps a call from ringing. Only the user can change it. */
public enum class WakeObstacle {
    /** No notification of this app is shown (Settings → Notifications). From Android 13 this is a permission to ask for. */
    NOTIFICATIONS_OFF,

    /** The channel of incoming calls is off, or too quiet to ring. */
    CHANNEL_OFF,

    /** An incoming call shows as a small notification only (from Android 14, `USE_FULL_SCREEN_INTENT`). */
    NO_FULL_SCREEN,

    /** There are no Google Play services, or they are off. No Firebase message arrives. */
    NO_PLAY_SERVICES,

    /** Google Play services are too old for the Firebase installation ids that this app uses. */
    OLD_PLAY_SERVICES,

    /**
     * The last message that was sent with high priority came with normal one. Google lowers an app's messages if they show nothing
     * for days. The server should send only calls with high priority, and refreshes with normal one.
     */
    DEPRIORITISED,

    /** The user restricted the app's battery use. Even high-priority messages may wait. */
    BACKGROUND_RESTRICTED,

    /** The system put the app into the restricted standby bucket, because it is hardly used. */
    RARELY_USED,

    /** Data Saver is on, and this app is not exempt. In the background it has no mobile data. */
    DATA_SAVER,

    /** If the app is not used for months, the system will take away its permissions and stop its messages. */
    HIBERNATION,

    /** The app may not reach servers in the local network (Android 17, `ACCESS_LOCAL_NETWORK`). */
    NO_LOCAL_NETWORK,

    /** This phone's maker is known to stop apps in the background, against Android's own rules (dontkillmyapp.com). */
    MAKER_STOPS_APPS,

    /** After a restart of the phone, log-outs wait until the user opens the app, because it has no `RECEIVE_BOOT_COMPLETED`. */
    NOT_AFTER_RESTART,

    /**
     * The app is subject to Doze. High-priority messages still arrive. Messages with normal priority wait for the next maintenance window.
     */
    SUBJECT_TO_DOZE,
    ;

    /** Returns the intent that opens the setting, for `startActivity`. Null if there is none. */
    public fun intent(context: Context): Intent? {
        val app = Uri.fromParts("package", context.packageName, null)
        val notifications = Intent(Settings.ACTION_APP_NOTIFICATION_SETTINGS).putExtra(Settings.EXTRA_APP_PACKAGE, context.packageName)
        return when (this) {
            NOTIFICATIONS_OFF -> notifications
            CHANNEL_OFF -> Intent(Settings.ACTION_CHANNEL_NOTIFICATION_SETTINGS)
                .putExtra(Settings.EXTRA_APP_PACKAGE, context.packageName)
                .putExtra(Settings.EXTRA_CHANNEL_ID, CallNotifications.RINGING)
            NO_FULL_SCREEN ->
                if (Build.VERSION.SDK_INT < Build.VERSION_CODES.UPSIDE_DOWN_CAKE) notifications
                else Intent(Settings.ACTION_MANAGE_APP_USE_FULL_SCREEN_INTENT, app)
            NO_PLAY_SERVICES, OLD_PLAY_SERVICES -> Intent(Intent.ACTION_VIEW, Uri.parse("market://details?id=$PLAY_SERVICES"))
            DATA_SAVER -> Intent(Settings.ACTION_IGNORE_BACKGROUND_DATA_RESTRICTIONS_SETTINGS, app)
            HIBERNATION ->
                if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) null else Intent(Intent.ACTION_AUTO_REVOKE_PERMISSIONS, app)
            SUBJECT_TO_DOZE -> Intent(Settings.ACTION_IGNORE_BATTERY_OPTIMIZATION_SETTINGS)
            NOT_AFTER_RESTART -> null
            DEPRIORITISED, BACKGROUND_RESTRICTED, RARELY_USED, NO_LOCAL_NETWORK, MAKER_STOPS_APPS ->
                Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, app)
        }?.addFlags(Intent.FLAG_ACTIVITY_NEW_TASK)
    }
}

/**
 * Returns the obstacles on this phone, the worst first. It is cheap enough for every start of the app.
 *
 * @param channelId the channel of incoming calls. The default is that of [SipWakePhone]
 */
@JvmOverloads
public fun wakeObstacles(context: Context, channelId: String = CallNotifications.RINGING): List<WakeObstacle> = buildList {
    val sdk = Build.VERSION.SDK_INT
    val notifications = context.system<NotificationManager>()
    if (!notifications.areNotificationsEnabled()) add(WakeObstacle.NOTIFICATIONS_OFF)
    val channel = notifications.getNotificationChannel(channelId)
    if (channel != null && channel.importance < NotificationManager.IMPORTANCE_DEFAULT) add(WakeObstacle.CHANNEL_OFF)
    if (sdk >= Build.VERSION_CODES.UPSIDE_DOWN_CAKE && !mayFillScreen(notifications)) add(WakeObstacle.NO_FULL_SCREEN)
    playServices(context)?.let(::add)
    if (Downgrades.recent(context)) add(WakeObstacle.DEPRIORITISED)
    if (sdk >= Build.VERSION_CODES.P && isRestricted(context)) add(WakeObstacle.BACKGROUND_RESTRICTED)
    if (sdk >= Build.VERSION_CODES.R && isRarelyUsed(context)) add(WakeObstacle.RARELY_USED)
    val saver = context.system<ConnectivityManager>().restrictBackgroundStatus
    if (saver == ConnectivityManager.RESTRICT_BACKGROUND_STATUS_ENABLED) add(WakeObstacle.DATA_SAVER)
    if (sdk >= Build.VERSION_CODES.R && mayHibernate(context)) add(WakeObstacle.HIBERNATION)
    if (lacksLocalNetwork(context)) add(WakeObstacle.NO_LOCAL_NETWORK)
    if (Build.MANUFACTURER.lowercase() in MAKERS) add(WakeObstacle.MAKER_STOPS_APPS)
    if (!survivesRestart(context)) add(WakeObstacle.NOT_AFTER_RESTART)
    if (!context.system<PowerManager>().isIgnoringBatteryOptimizations(context.packageName)) add(WakeObstacle.SUBJECT_TO_DOZE)
}

@RequiresApi(34)
private fun mayFillScreen(notifications: NotificationManager) = notifications.canUseFullScreenIntent()

@RequiresApi(28)
private fun isRestricted(context: Context) = context.system<ActivityManager>().isBackgroundRestricted

@RequiresApi(30)
private fun isRarelyUsed(context: Context) =
    context.system<UsageStatsManager>().appStandbyBucket >= UsageStatsManager.STANDBY_BUCKET_RESTRICTED

@RequiresApi(30)
private fun mayHibernate(context: Context) = !context.packageManager.isAutoRevokeWhitelisted

@RequiresApi(28)
private fun longVersion(installed: PackageInfo) = installed.longVersionCode

/** Only for apps that have Firebase. Others work without Play services. */
private fun playServices(context: Context): WakeObstacle? {
    if (runCatching { Class.forName("com.google.firebase.messaging.FirebaseMessaging") }.isFailure) return null
    val installed = try {
        context.packageManager.getPackageInfo(PLAY_SERVICES, 0)
    } catch (_: PackageManager.NameNotFoundException) {
        return WakeObstacle.NO_PLAY_SERVICES
    }
    if (installed.applicationInfo?.enabled == false) return WakeObstacle.NO_PLAY_SERVICES
    @Suppress("DEPRECATION")
    val version = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) longVersion(installed) else installed.versionCode.toLong()
    return if (FirebaseTokens.usesIds(context) && version < FirebaseTokens.IDS_SINCE) WakeObstacle.OLD_PLAY_SERVICES else null
}

/** Only if the app asks for the permission. Servers elsewhere do not need it. */
private fun lacksLocalNetwork(context: Context): Boolean {
    if (Build.VERSION.SDK_INT < ANDROID_17) return false
    val asked = context.packageManager.getPackageInfo(context.packageName, PackageManager.GET_PERMISSIONS).requestedPermissions
    return asked.orEmpty().contains(LOCAL_NETWORK) &&
        context.checkSelfPermission(LOCAL_NETWORK) != PackageManager.PERMISSION_GRANTED
}

/** Whether a job survives a restart of the phone. */
internal fun survivesRestart(context: Context): Boolean =
    context.checkSelfPermission(Manifest.permission.RECEIVE_BOOT_COMPLETED) == PackageManager.PERMISSION_GRANTED

private const val PLAY_SERVICES = "com.google.android.gms"
private const val LOCAL_NETWORK = "android.permission.ACCESS_LOCAL_NETWORK"
private const val ANDROID_17 = 37
private val MAKERS = setOf("huawei", "honor", "xiaomi", "oppo", "vivo", "oneplus", "realme", "meizu", "asus", "tecno", "infinix")

/** Every phone has each of these services. */
internal inline fun <reified T : Any> Context.system(): T =
    checkNotNull(getSystemService(T::class.java)) { "no ${T::class.java.simpleName} here" }
