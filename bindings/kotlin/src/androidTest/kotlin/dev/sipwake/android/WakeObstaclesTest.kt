package dev.sipwake.android

import android.Manifest
import android.app.ActivityManager
import android.app.Application
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.usage.UsageStatsManager
import android.content.pm.ApplicationInfo
import android.content.pm.PackageInfo
import android.net.ConnectivityManager
import android.os.Build
import android.os.PowerManager
import kotlin.test.Test
import kotlin.test.assertEquals
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.Implementation
import org.robolectric.annotation.Implements
import org.robolectric.shadows.ShadowBuild
import org.robolectric.shadows.ShadowNotificationManager
import org.robolectric.util.ReflectionHelpers

/** Robolectric's own version refuses this to every app. */
@Implements(NotificationManager::class)
class FullScreenPlayed : ShadowNotificationManager() {
    @Implementation
    fun canUseFullScreenIntent(): Boolean = isAllowed

    companion object {
        var isAllowed = true
    }
}

/** Each obstacle exists exactly while its setting does. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE, shadows = [FullScreenPlayed::class])
class WakeObstaclesTest {
    private val app: Application = RuntimeEnvironment.getApplication()
    private val packages = shadowOf(app.packageManager)

    /** A phone on which nothing keeps calls from ringing. */
    private fun mend() {
        FullScreenPlayed.isAllowed = true
        shadowOf(app).grantPermissions(Manifest.permission.RECEIVE_BOOT_COMPLETED)
        shadowOf(app.system<NotificationManager>()).setNotificationsEnabled(true)
        playServices(FirebaseTokens.IDS_SINCE)
        shadowOf(app.system<ActivityManager>()).setBackgroundRestricted(false)
        shadowOf(app.system<UsageStatsManager>()).setCurrentAppStandbyBucket(UsageStatsManager.STANDBY_BUCKET_ACTIVE)
        shadowOf(app.system<ConnectivityManager>()).setRestrictBackgroundStatus(ConnectivityManager.RESTRICT_BACKGROUND_STATUS_DISABLED)
        packages.setAutoRevokeWhitelisted(true)
        ShadowBuild.setManufacturer("Google")
        shadowOf(app.system<PowerManager>()).setIgnoringBatteryOptimizations(app.packageName, true)
    }

    private fun playServices(version: Long, enabled: Boolean = true) = packages.installPackage(
        PackageInfo().apply {
            packageName = "com.google.android.gms"
            longVersionCode = version
            applicationInfo = ApplicationInfo().also {
                it.packageName = packageName
                it.enabled = enabled
            }
        },
    )

    private fun alone(obstacle: WakeObstacle, setting: () -> Unit) {
        mend()
        assertEquals(emptyList(), wakeObstacles(app), "before $obstacle")
        setting()
        assertEquals(listOf(obstacle), wakeObstacles(app))
    }

    @Test
    fun `each setting that keeps calls from ringing is reported, and no other`() {
        val notifications = app.system<NotificationManager>()
        alone(WakeObstacle.NOTIFICATIONS_OFF) { shadowOf(notifications).setNotificationsEnabled(false) }
        alone(WakeObstacle.NO_FULL_SCREEN) { FullScreenPlayed.isAllowed = false }
        alone(WakeObstacle.NO_PLAY_SERVICES) { packages.removePackage("com.google.android.gms") }
        alone(WakeObstacle.NO_PLAY_SERVICES) { playServices(FirebaseTokens.IDS_SINCE, enabled = false) }
        alone(WakeObstacle.BACKGROUND_RESTRICTED) { shadowOf(app.system<ActivityManager>()).setBackgroundRestricted(true) }
        alone(WakeObstacle.RARELY_USED) {
            shadowOf(app.system<UsageStatsManager>()).setCurrentAppStandbyBucket(UsageStatsManager.STANDBY_BUCKET_RESTRICTED)
        }
        alone(WakeObstacle.DATA_SAVER) {
            shadowOf(app.system<ConnectivityManager>()).setRestrictBackgroundStatus(ConnectivityManager.RESTRICT_BACKGROUND_STATUS_ENABLED)
        }
        alone(WakeObstacle.HIBERNATION) { packages.setAutoRevokeWhitelisted(false) }
        alone(WakeObstacle.MAKER_STOPS_APPS) { ShadowBuild.setManufacturer("Xiaomi") }
        alone(WakeObstacle.NOT_AFTER_RESTART) { shadowOf(app).denyPermissions(Manifest.permission.RECEIVE_BOOT_COMPLETED) }
        alone(WakeObstacle.SUBJECT_TO_DOZE) { shadowOf(app.system<PowerManager>()).setIgnoringBatteryOptimizations(app.packageName, false) }
        mend()
        // The app's own channel, named by the app.
        notifications.createNotificationChannel(NotificationChannel("calls", "Calls", NotificationManager.IMPORTANCE_NONE))
        assertEquals(emptyList(), wakeObstacles(app))
        assertEquals(listOf(WakeObstacle.CHANNEL_OFF), wakeObstacles(app, "calls"))
    }

    @Test
    fun `Play services are too old only for an app that uses Firebase installation ids`() {
        mend()
        playServices(FirebaseTokens.IDS_SINCE - 1)
        assertEquals(emptyList(), wakeObstacles(app))
        usesIds(app)
        assertEquals(listOf(WakeObstacle.OLD_PLAY_SERVICES), wakeObstacles(app))
        playServices(FirebaseTokens.IDS_SINCE)
        assertEquals(emptyList(), wakeObstacles(app))
    }

    @Test
    fun `from Android 17 on the local network is an obstacle for an app that needs it`() {
        mend()
        val permission = "android.permission.ACCESS_LOCAL_NETWORK"
        packages.getInternalMutablePackageInfo(app.packageName).requestedPermissions = arrayOf(permission)
        assertEquals(emptyList(), wakeObstacles(app))
        val before = Build.VERSION.SDK_INT
        try {
            ReflectionHelpers.setStaticField(Build.VERSION::class.java, "SDK_INT", 37)
            assertEquals(listOf(WakeObstacle.NO_LOCAL_NETWORK), wakeObstacles(app))
            shadowOf(app).grantPermissions(permission)
            assertEquals(emptyList(), wakeObstacles(app))
        } finally {
            ReflectionHelpers.setStaticField(Build.VERSION::class.java, "SDK_INT", before)
        }
    }
}
