package dev.sipwake.android

import android.app.ActivityManager
import android.app.NotificationManager
import android.app.usage.UsageStatsManager
import android.content.Context
import android.os.Build
import android.os.PowerManager

/** Something in the phone's settings that keeps a call from ringing, which only its user can change. */
public enum class WakeObstacle {
    /** No notification of this app is shown (Settings → Notifications; from Android 13 a permission to ask for). */
    NOTIFICATIONS_OFF,

    /** An incoming call shows as a small notification only (from Android 14, `USE_FULL_SCREEN_INTENT`). */
    NO_FULL_SCREEN,

    /** The user restricted the app's battery use: even high-priority messages may wait. */
    BACKGROUND_RESTRICTED,

    /** The system put the app into the restricted standby bucket, since it is hardly used. */
    RARELY_USED,

    /**
     * The app is subject to Doze. High-priority messages still come through, but what is sent with normal priority waits for
     * the next maintenance window.
     */
    SUBJECT_TO_DOZE,
}

/** Returns what keeps calls from ringing on this phone, the worst first. Cheap enough for every start of the app. */
public fun wakeObstacles(context: Context): List<WakeObstacle> = buildList {
    val notifications = context.system<NotificationManager>()
    if (!notifications.areNotificationsEnabled()) add(WakeObstacle.NOTIFICATIONS_OFF)
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.UPSIDE_DOWN_CAKE && !notifications.canUseFullScreenIntent()) {
        add(WakeObstacle.NO_FULL_SCREEN)
    }
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P &&
        context.system<ActivityManager>().isBackgroundRestricted
    ) {
        add(WakeObstacle.BACKGROUND_RESTRICTED)
    }
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) {
        val bucket = context.system<UsageStatsManager>().appStandbyBucket
        if (bucket >= UsageStatsManager.STANDBY_BUCKET_RESTRICTED) add(WakeObstacle.RARELY_USED)
    }
    val power = context.system<PowerManager>()
    if (!power.isIgnoringBatteryOptimizations(context.packageName)) add(WakeObstacle.SUBJECT_TO_DOZE)
}

/** Each of the services asked for is on every phone. */
internal inline fun <reified T : Any> Context.system(): T =
    checkNotNull(getSystemService(T::class.java)) { "no ${T::class.java.simpleName} here" }
