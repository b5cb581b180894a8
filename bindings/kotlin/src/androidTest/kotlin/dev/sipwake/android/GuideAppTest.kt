package dev.sipwake.android

import android.app.Activity
import android.app.Service
import android.content.BroadcastReceiver
import android.os.Looper
import com.example.phone.App
import java.io.File
import javax.xml.parsers.DocumentBuilderFactory
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.w3c.dom.Element

/** The complete app that the guide shows, in the same files. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE, application = App::class)
class GuideAppTest {
    private val root = generateSequence(File("").absoluteFile) { it.parentFile }.first { File(it, "docs/kotlin.md").exists() }
    private val kotlin = File(root, "bindings/kotlin/src/androidTest/kotlin/com/example/phone/App.kt").readText()
    private val manifest = File(root, "bindings/kotlin/src/androidTest/guide/AndroidManifest.xml").readText()

    @Test
    fun `the guide's app has at most sixty lines, and the guide shows it`() {
        val lines = (kotlin.lines() + manifest.lines()).filter { it.isNotBlank() && !it.trim().startsWith("//") }
        assertTrue(lines.size <= 60, "${lines.size} lines")
        assertTrue(lines.all { it.length <= 120 }, "${lines.maxBy { it.length }}")
        val page = File(root, "docs/kotlin.md").readText()
        for (file in listOf(kotlin, manifest)) assertTrue(file.trimEnd() in page, "the guide shows another file")
    }

    @Test
    fun `the guide's manifest names classes that exist`() {
        val document = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(manifest.byteInputStream())
        fun named(tag: String) = document.getElementsByTagName(tag).let { nodes -> (0 until nodes.length).map { nodes.item(it) as Element } }
            .map { it.getAttribute("android:name").let { name -> Class.forName(if (name.startsWith(".")) "com.example.phone$name" else name) } }
        assertEquals(App::class.java, named("application").single())
        assertTrue(named("activity").all { Activity::class.java.isAssignableFrom(it) })
        assertTrue(named("service").all { Service::class.java.isAssignableFrom(it) })
        assertTrue(named("receiver").all { BroadcastReceiver::class.java.isAssignableFrom(it) })
        assertEquals(2 + 3 + 1, listOf("activity", "service", "receiver").sumOf { named(it).size })
    }

    @Test
    fun `the guide's app rings, answers, declines and logs out`() {
        val app = RuntimeEnvironment.getApplication() as App
        fun call(id: String) = message(mapOf("ntype" to "0", "nfrom" to "1234", "ncallid" to id))
        runBlocking { app.logIn("sip:alice@localhost", "wonderland").join() }
        val service = Robolectric.setupService(SipWakePushService::class.java)
        service.onMessageReceived(call("first"))
        val ringing = app.phone.calls.value.single()
        val (_, notification) = app.phone.foreground()
        @Suppress("DEPRECATION")
        val answer: android.app.PendingIntent = notification.extras.getParcelable("android.answerIntent")!!
        Robolectric.buildActivity(SipWakeCallActivity::class.java, shadowOf(answer).savedIntent).setup()
        @Suppress("DEPRECATION")
        val decline: android.app.PendingIntent = notification.extras.getParcelable("android.declineIntent")!!
        SipWakeCallReceiver().onReceive(app, shadowOf(decline).savedIntent)
        until("${ringing.uuid} is over") { app.phone.calls.value.isEmpty() }
        runBlocking { app.logOut().join() }
        service.onMessageReceived(call("second"))
        assertTrue(app.phone.calls.value.isEmpty(), "who is logged out hears nothing")
        runBlocking { app.phone.client().close() }
    }

    private fun until(what: String, condition: () -> Boolean) {
        val end = System.nanoTime() + 120_000_000_000
        while (!condition() && System.nanoTime() < end) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(10)
        }
        assertTrue(condition(), what)
    }
}
