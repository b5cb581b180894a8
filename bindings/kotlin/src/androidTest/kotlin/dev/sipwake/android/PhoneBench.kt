package dev.sipwake.android

import android.app.Application
import android.app.NotificationManager
import android.os.PowerManager
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.MemoryStore
import dev.sipwake.Provider
import dev.sipwake.PushConfig
import java.lang.management.ManagementFactory
import kotlin.test.Test
import kotlinx.coroutines.runBlocking
import org.junit.FixMethodOrder
import org.junit.runner.RunWith
import org.junit.runners.MethodSorters
import org.junit.runners.model.FrameworkMethod
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.internal.bytecode.InstrumentationConfiguration

/** Does nothing until it is asked to, because Robolectric calls `onCreate` itself. */
class BenchApp : Application(), SipWakePhoneOwner {
    override val phone: SipWakePhone by lazy {
        SipWakePhone(this, PhoneSettings(android.R.drawable.sym_action_call), InactiveMedia, { MemoryStore() }) {
            listOf(AccountSetup(AccountConfig("sip:alice@mock.invalid", "x"), PushConfig(Provider.Fcm, "app")))
        }
    }
}

/** Robolectric rewrites each class that it loads, which takes longer than the measured work. The JVM loads Kotlin's own classes. */
class BenchRunner(test: Class<*>) : RobolectricTestRunner(test) {
    override fun createClassLoaderConfig(method: FrameworkMethod): InstrumentationConfiguration =
        InstrumentationConfiguration.Builder(super.createClassLoaderConfig(method)).doNotAcquirePackage("kotlin.").doNotAcquirePackage("kotlinx.").build()
}

/** Measures and asserts nothing: `scripts/bench --only android`. Robolectric simulates Android, so the time that a phone itself needs is not included. */
@RunWith(BenchRunner::class)
@Config(sdk = [34], manifest = Config.NONE, application = BenchApp::class)
@FixMethodOrder(MethodSorters.NAME_ASCENDING)
class PhoneBench {
    private val app = RuntimeEnvironment.getApplication() as BenchApp
    private val shown = shadowOf(app.system<NotificationManager>())

    private fun ms(work: () -> Unit): Double {
        val start = System.nanoTime()
        work()
        return (System.nanoTime() - start) / 1e6
    }

    private fun call(id: String) = message(mapOf("ntype" to "0", "nfrom" to "1234", "ncallid" to id), RemoteMessage.PRIORITY_HIGH)

    /** First runs on another version of Android, with other classes, so that the code that rewrites classes is compiled. */
    @Test
    @Config(sdk = [33])
    fun `a rehearsal`() {
        println("  ms of the rehearsal, in which Robolectric itself is cold: %.0f".format(ms { app.phone }))
    }

    /** The work of an app in `Application.onCreate`, the first time in a process, and how long it blocks the main thread. */
    @Test
    fun start() {
        // The time that Robolectric needs for these is not the phone's.
        app.system<PowerManager>().newWakeLock(PowerManager.PARTIAL_WAKE_LOCK, "bench:played")
        IncomingCallNotification(app, "bench", 0)
        val (processor, classes) = ManagementFactory.getThreadMXBean() to ManagementFactory.getClassLoadingMXBean()
        processor.currentThreadCpuTime
        val loaded = classes.totalLoadedClassCount
        val before = processor.currentThreadCpuTime
        val made = ms { app.phone }
        val between = processor.currentThreadCpuTime
        val loadedFirst = classes.totalLoadedClassCount - loaded
        val rest = processor.currentThreadCpuTime
        val started = ms { app.phone.start() }
        val busy = listOf(between - before, processor.currentThreadCpuTime - rest).map { it / 1e6 }
        println(
            "  main thread in Application.onCreate, cold: %.1f ms made, %.1f started; of the processor %.1f and %.1f; %d classes loaded to make it (budget 20 ms)"
                .format(made, started, busy[0], busy[1], loadedFirst),
        )
        val again = SipWakePhone(app, app.phone.settings, InactiveMedia, { MemoryStore() }) { emptyList() }
        println("  the same with its classes loaded: %.2f ms".format(ms { again.start() }))
        // A process that a push started. The client is created at the same time.
        val service = Robolectric.setupService(SipWakePushService::class.java)
        val first = ms { pushed(service, "first") }
        val later = (0..<50).map { ms { pushed(service, "later-$it") } }.sorted()
        println("  push to notification: %.0f ms cold; %.1f ms median, %.1f ms at most of 50 (budget 150 ms)".format(first, later[25], later[49]))
        println("  shown: ${shown.allNotifications.size}, calls: ${app.phone.calls.value.size}, refused: ${app.phone.refusals.replayCache.map { it.what }.toSet()}")
        runBlocking { app.phone.client().close() }
    }

    private fun pushed(service: SipWakePushService, id: String) {
        service.onMessageReceived(call(id))
        val started = shadowOf(app).nextStartedService
        Robolectric.buildService(SipWakeCallService::class.java, started).create().startCommand(0, 1)
    }
}
