package dev.sipwake.android

import android.app.Application
import android.os.Looper
import com.google.android.gms.tasks.Task
import com.google.firebase.messaging.FirebaseMessaging
import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.MemoryStore
import dev.sipwake.MockGateway
import dev.sipwake.PATIENCE_MS
import dev.sipwake.Provider
import dev.sipwake.PushConfig
import dev.sipwake.SipWakeEvent
import java.io.IOException
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** An app whose user has not logged in yet. */
class LoggedOutApp : Application(), SipWakePhoneOwner {
    override val phone by lazy {
        SipWakePhone(this, PhoneSettings(android.R.drawable.sym_action_call), InactiveMedia, { MemoryStore() }) { emptyList() }
    }
}

/** Firebase's answers on a phone with Google Play services, which Firebase's own tests do not have. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
class FirebaseAnswersTest {
    private val app = RuntimeEnvironment.getApplication()

    @AfterTest
    fun silence() {
        FirebaseMessaging.answers = FirebaseMessaging.Answers()
    }

    @Test
    fun `Firebase is asked for a token or an installation id, and never for both`() {
        fun fetch(answers: FirebaseMessaging.Answers): Pair<List<String>, Int> {
            val tokens = mutableListOf<String>()
            FirebaseMessaging.answers = answers
            FirebaseTokens.fetch(app) { it.onSuccess(tokens::add) }
            return tokens to answers.registers
        }
        val down = FirebaseMessaging.Answers(Task(Result.failure(IOException("SERVICE_NOT_AVAILABLE"))))
        assertEquals(listOf("c-10:APA91b") to 0, fetch(FirebaseMessaging.Answers(Task(Result.success("c-10:APA91b")))))
        assertEquals(emptyList<String>() to 0, fetch(down), "no network is the same as no connection")
        assertEquals(emptyList<String>() to 1, fetch(FirebaseMessaging.Answers(Task(Result.failure(IllegalStateException("ids"))))))
        val forbidden = FirebaseMessaging.Answers(Task(Result.failure(SecurityException("no"))))
        assertEquals(emptyList<String>() to 0, fetch(forbidden), "Firebase says of the other world by one exception alone")
        usesIds(app)
        assertEquals(emptyList<String>() to 1, fetch(FirebaseMessaging.Answers(Task(Result.success("c-10:APA91b")))))
    }

    @Test
    @Config(application = LoggedOutApp::class)
    fun `an account that logs in later gets the token that Firebase gave, or Firebase is asked again`() {
        val app = app as LoggedOutApp
        val gateways = mutableListOf<MockGateway>()
        fun logIn(user: String): () -> String? {
            val gateway = MockGateway(user = user).also(gateways::add)
            val account = AccountConfig("sip:$user@mock.example", "wonderland").copy(gateways = listOf(gateway.address))
            val id = runBlocking { app.phone.logIn(AccountSetup(account, PushConfig(Provider.Fcm, "com.example.app"))) }
            return { (app.phone.registrations.value[id] as? SipWakeEvent.Registered)?.registration?.token }
        }
        fun until(what: String, condition: () -> Boolean) {
            val end = System.nanoTime() + PATIENCE_MS * 1_000_000
            while (!condition() && System.nanoTime() < end) {
                shadowOf(Looper.getMainLooper()).idle()
                Thread.sleep(10)
            }
            assertTrue(condition(), "$what: ${app.phone.registrations.value}, ${app.phone.refusals.replayCache}")
        }
        FirebaseMessaging.answers = FirebaseMessaging.Answers(Task(Result.failure(IOException("SERVICE_NOT_AVAILABLE"))))
        app.phone.start()
        until("Firebase has no token yet") { app.phone.refusals.replayCache.isNotEmpty() }

        FirebaseMessaging.answers = FirebaseMessaging.Answers(Task(Result.success("c-10:APA91b")))
        val alice = logIn("alice")
        until("Firebase is asked again") { alice() == "c-10:APA91b" }

        FirebaseMessaging.answers = FirebaseMessaging.Answers(Task(Result.failure(IOException("SERVICE_NOT_AVAILABLE"))))
        val bob = logIn("bob")
        until("the token is known") { bob() == "c-10:APA91b" }
        runBlocking { app.phone.client().close() }
        gateways.forEach(MockGateway::close)
    }
}
