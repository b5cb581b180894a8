package dev.sipwake.sample

import androidx.compose.ui.ImageComposeScene
import androidx.compose.ui.unit.Density
import dev.sipwake.AccountId
import dev.sipwake.EndReason
import dev.sipwake.Standing
import dev.sipwake.TracedMessage
import dev.sipwake.Verdict
import dev.sipwake.sample.logic.Call
import dev.sipwake.sample.logic.Field
import dev.sipwake.sample.logic.PastCall
import dev.sipwake.sample.logic.Phase
import dev.sipwake.sample.logic.Problem
import dev.sipwake.sample.logic.Registering
import dev.sipwake.sample.logic.SampleState
import dev.sipwake.sample.logic.Screen
import dev.sipwake.sample.logic.Settings
import dev.sipwake.sample.logic.User
import dev.sipwake.sample.ui.SampleApp
import java.io.File
import java.time.Instant
import java.util.UUID
import kotlin.test.Test
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.seconds
import org.jetbrains.skia.Bitmap

private const val WIDTH = 720
private const val HEIGHT = 1280

private val settings = Settings("push.example.com:5061", "sip:alice@example.com", "wonderland", project = "my-project")
private val verdict = Verdict(Standing.CONFIRMED, "the server accepted the push parameters")
private val registered = SampleState(
    settings = settings,
    user = User(AccountId("0123456789abcdef"), settings.address),
    registering = Registering.Done(verdict, 1.hours),
    hasToken = true,
)
private val call = Call(UUID(0, 1), "sip:bob@example.com", "Bob", Phase.RINGING)

/** Draws each screen of the flow with the real code. The README shows the pictures. */
class PicturesTest {
    @Test
    fun `settings`() = draw("settings", SampleState(settings = settings))

    @Test
    fun `settings that the SDK refused`() = draw(
        "refused",
        SampleState(settings = settings.copy(address = "alice"), problem = Problem(Field.ADDRESS, "must be a SIP URI with a user part")),
    )

    @Test
    fun `the verdict`() = draw("verdict", registered)

    @Test
    fun `an incoming call`() = draw("incoming", registered.copy(calls = listOf(call)))

    @Test
    fun `a connected call`() = draw("connected", registered.copy(calls = listOf(call.copy(phase = Phase.CONNECTED))))

    @Test
    fun `an ended call`() = draw("ended", registered.copy(past = listOf(PastCall(call.uuid, "Bob", EndReason.HUNG_UP, 42.seconds))))

    @Test
    fun `the trace`() = draw("trace", registered.copy(screen = Screen.TRACE))

    @Test
    fun `logged out`() =
        draw("logged-out", SampleState(settings = settings.copy(password = ""), notice = "The server has forgotten sip:alice@example.com."))

    private fun draw(name: String, state: SampleState) {
        val messages = listOf("SIP/2.0 200 OK" to false, "REGISTER sip:example.com SIP/2.0" to true).mapIndexed { index, (line, sent) ->
            TracedMessage(Instant.ofEpochSecond(1_770_000_000L - index), sent, 1, "$line\r\n\r\n")
        }
        val scene = ImageComposeScene(WIDTH, HEIGHT, Density(2f)) {
            SampleApp(state, emptyList(), messages, dispatch = {}, onObstacle = {}, onExport = {})
        }
        val image = try {
            scene.render()
        } finally {
            scene.close()
        }
        val bitmap = Bitmap.makeFromImage(image)
        val colors = (0 until HEIGHT step 4).flatMapTo(HashSet()) { y -> (0 until WIDTH step 4).map { x -> bitmap.getColor(x, y) } }
        assertTrue(colors.size > 8, "$name is a picture of something, not of ${colors.size} colours")
        val folder = File(System.getProperty("sample.pictures")).apply { mkdirs() }
        folder.resolve("$name.png").writeBytes(checkNotNull(image.encodeToData()) { "no PNG" }.bytes)
    }
}
