package dev.sipwake.android

import com.google.android.gms.tasks.Task
import com.google.firebase.messaging.FirebaseMessaging
import java.io.IOException
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

/** What Firebase answers where there are Google Play services, which no test of Firebase itself has. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
class FirebaseAnswersTest {
    private val app = RuntimeEnvironment.getApplication()

    @AfterTest
    fun silence() {
        FirebaseMessaging.answers = FirebaseMessaging.Answers()
    }

    @Test
    fun `Firebase is asked for a token or for an installation id, and never for both`() {
        fun fetch(answers: FirebaseMessaging.Answers): Pair<List<String>, Int> {
            val tokens = mutableListOf<String>()
            FirebaseMessaging.answers = answers
            FirebaseTokens.fetch(app) { it.onSuccess(tokens::add) }
            return tokens to answers.registers
        }
        val down = FirebaseMessaging.Answers(Task(Result.failure(IOException("SERVICE_NOT_AVAILABLE"))))
        assertEquals(listOf("c-10:APA91b") to 0, fetch(FirebaseMessaging.Answers(Task(Result.success("c-10:APA91b")))))
        assertEquals(emptyList<String>() to 0, fetch(down), "no network is no other world")
        assertEquals(emptyList<String>() to 1, fetch(FirebaseMessaging.Answers(Task(Result.failure(IllegalStateException("ids"))))))
        val forbidden = FirebaseMessaging.Answers(Task(Result.failure(SecurityException("no"))))
        assertEquals(emptyList<String>() to 0, fetch(forbidden), "Firebase says of the other world by one exception alone")
        usesIds(app)
        assertEquals(emptyList<String>() to 1, fetch(FirebaseMessaging.Answers(Task(Result.success("c-10:APA91b")))))
    }
}
