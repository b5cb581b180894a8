package dev.sipwake.android

import android.app.Activity
import android.app.NotificationManager
import android.app.PendingIntent
import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import android.net.Uri
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.AccountConfig
import dev.sipwake.AccountId
import dev.sipwake.AccountSetup
import dev.sipwake.AppState
import dev.sipwake.Duty
import dev.sipwake.Provider
import dev.sipwake.PushAction
import dev.sipwake.PushConfig
import dev.sipwake.SipWakeClient
import dev.sipwake.StateStore
import dev.sipwake.StoreShutException
import java.security.KeyStoreException
import java.security.ProviderException
import java.util.concurrent.ConcurrentHashMap
import javax.crypto.AEADBadTagException
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import kotlin.io.path.createTempDirectory
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFails
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

private val setup = AccountSetup(AccountConfig("alice@example.com", "wonderland"), PushConfig(Provider.Fcm, "app"))

private val records = ConcurrentHashMap<String, ByteArray>()

private object Memory : StateStore {
    override fun load(key: String): ByteArray? = records[key]
    override fun save(key: String, bytes: ByteArray) {
        records[key] = bytes
    }

    override fun remove(key: String) {
        records.remove(key)
    }
}

class CallScreen : Activity()

class CallDecliner : BroadcastReceiver() {
    override fun onReceive(context: Context, intent: Intent) {}
}

// docs:service
class WakeService : SipWakeMessagingService() {
    override val client: SipWakeClient get() = App.client
    override val accounts: List<AccountId> get() = App.accounts

    override fun onPush(action: PushAction) {
        if (action !is PushAction.IncomingCall) return
        when (action.duty) {
            Duty.StartForegroundService -> App.startCallService(this, action)
            is Duty.ShowNotification -> App.ring(this, action)
            else -> {}
        }
    }
}
// docs:end

object App {
    val client = SipWakeClient(Memory, listOf(setup))
    val accounts = listOf(setup.account.id())
    val started = mutableListOf<PushAction>()

    fun startCallService(context: Context, call: PushAction.IncomingCall) {
        started += call
    }

    // docs:ring
    fun ring(context: Context, call: PushAction.IncomingCall) {
        val calls = IncomingCallNotification(context, "calls", android.R.drawable.sym_call_incoming)
        calls.createChannel("Incoming calls")
        val flags = PendingIntent.FLAG_IMMUTABLE or PendingIntent.FLAG_UPDATE_CURRENT
        fun intent(action: String, target: Class<*>) = Intent(action, Uri.parse("call:${call.uuid}"), context, target)
        val open = PendingIntent.getActivity(context, 0, intent("open", CallScreen::class.java), flags)
        val answer = PendingIntent.getActivity(context, 0, intent("answer", CallScreen::class.java), flags)
        val decline = PendingIntent.getBroadcast(context, 0, intent("decline", CallDecliner::class.java), flags)
        calls.show(call, calls.build(call, "Unknown caller", open, answer, decline))
    }
    // docs:end
}

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
class PushToNotificationTest {
    private val service = Robolectric.setupService(WakeService::class.java)
    private val notifications = shadowOf(
        RuntimeEnvironment.getApplication().system<NotificationManager>(),
    )

    private fun call(id: String, delivered: Int) =
        message(mapOf("ntype" to "0", "nfrom" to "1234", "nfromusername" to "John", "ncallid" to id), delivered)

    @Test
    fun `a call with its priority kept may start a service`() {
        service.onMessageReceived(call("kept", RemoteMessage.PRIORITY_HIGH))
        assertEquals(Duty.StartForegroundService, App.started.last().duty)
    }

    @Test
    fun `a push that is not a call shows nothing`() {
        val before = notifications.size()
        service.onMessageReceived(message(mapOf("ntype" to "4")))
        assertEquals(before, notifications.size())
    }

    @Test
    fun `a downgraded call becomes a full-screen notification`() {
        val message = call("downgraded", RemoteMessage.PRIORITY_NORMAL)
        // On Robolectric the test's process is in the foreground, where it may always start a service.
        val action = App.client.push(message.data, hints = message.hints().copy(appState = AppState.BACKGROUND))
        assertIs<PushAction.IncomingCall>(action)
        assertTrue(action.details.downgraded)
        App.ring(service, action)
        val notification = notifications.allNotifications.single()
        assertEquals("John", notification.extras.getCharSequence("android.title"))
        assertTrue(notification.fullScreenIntent != null)
        assertEquals(android.app.Notification.VISIBILITY_PRIVATE, notification.visibility)
        val onLockScreen = notification.publicVersion.extras
        assertEquals("Incoming call", onLockScreen.getCharSequence("android.title"), "who calls is private there")
    }

    @Test
    fun `a new token is stored when Firebase's call returns`() {
        val before = records.values.sumOf { it.size }
        service.onNewToken("c-10-ap_Kt0:APA91bTokenOfThisPhone0001")
        assertTrue(records.values.sumOf { it.size } > before)
    }

    @Test
    fun `obstacles have names`() {
        val context = RuntimeEnvironment.getApplication()
        assertTrue(WakeObstacle.SUBJECT_TO_DOZE in wakeObstacles(context))
        shadowOf(context.system<NotificationManager>()).setNotificationsEnabled(false)
        assertEquals(WakeObstacle.NOTIFICATIONS_OFF, wakeObstacles(context).first())
    }

    @Test
    fun `a sealed record opens under its own name only`() {
        val key = KeyGenerator.getInstance("AES").apply { init(256) }.generateKey()
        val folder = createTempDirectory().toFile()
        val files = SealedFiles(folder) { key }
        assertNull(files.load("removals"))
        files.save("removals", byteArrayOf(1, 2, 3))
        assertContentEquals(byteArrayOf(1, 2, 3), files.load("removals"))
        folder.resolve("removals").copyTo(folder.resolve("binding-1"))
        assertFails { files.load("binding-1") }
        assertFails { files.save("../x", byteArrayOf()) }
        folder.resolve("removals.bak").writeBytes(byteArrayOf(1))
        assertEquals(setOf("removals", "binding-1"), files.keys())
        folder.resolve("removals.bak").delete()
        files.remove("removals")
        assertNull(files.load("removals"))
    }

    @Test
    fun `a Keystore that fails for a moment is shut, and a record that was changed is not`() {
        var key: SecretKey? = KeyGenerator.getInstance("AES").apply { init(256) }.generateKey()
        var failure: Exception? = null
        var made = 0
        val folder = createTempDirectory().toFile()
        val files = SealedFiles(folder) { make ->
            failure?.let { throw it }
            if (make) made++
            key
        }
        files.save("removals", byteArrayOf(1))
        for (passing in listOf(KeyStoreException("BACKEND_BUSY"), ProviderException("Keystore operation failed"))) {
            failure = passing
            assertFailsWith<StoreShutException> { shutWhereItPasses { files.load("removals") } }
            assertFailsWith<StoreShutException> { shutWhereItPasses { files.save("removals", byteArrayOf(2)) } }
        }
        failure = null
        assertContentEquals(byteArrayOf(1), files.load("removals"))
        val record = folder.resolve("removals").apply { writeBytes(readBytes().also { it[it.size - 1]++ }) }
        assertFailsWith<AEADBadTagException> { shutWhereItPasses { files.load("removals") } }
        key = null
        assertFailsWith<IllegalStateException> { shutWhereItPasses { files.load("removals") } }
        assertEquals(1, made, "reading makes no key")
        assertTrue(record.exists())
    }

    @Test
    fun `one process of an app writes, the others read, and one takes over when it has ended`() {
        val key = KeyGenerator.getInstance("AES").apply { init(256) }.generateKey()
        val folder = createTempDirectory().toFile()
        val writer = folder.resolve("Writer.java")
        writer.writeText(
            "class Writer { public static void main(String[] a) throws Exception { new java.io.RandomAccessFile(a[0], \"rw\").getChannel().lock();" +
                " System.out.println(\"writes\"); System.in.read(); } }",
        )
        val java = "${System.getProperty("java.home")}/bin/java"
        val other = ProcessBuilder(java, "$writer", "${folder.resolve("writer.lock")}").redirectError(ProcessBuilder.Redirect.INHERIT).start()
        assertEquals("writes", other.inputStream.bufferedReader().readLine())
        val files = SealedFiles(folder) { key }
        assertFailsWith<StoreShutException> { files.save("removals", byteArrayOf(1)) }
        assertFailsWith<StoreShutException> { files.remove("removals") }
        assertNull(files.load("removals"), "it can be read meanwhile")
        other.outputStream.close()
        other.waitFor()
        files.save("removals", byteArrayOf(1))
        assertContentEquals(byteArrayOf(1), SealedFiles(folder) { key }.load("removals"))
    }
}
