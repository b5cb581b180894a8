package dev.sipwake

import java.io.File
import java.nio.file.Path
import kotlin.io.path.writeText
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.jupiter.api.io.TempDir

/** An app's recording, replayed by the command line. Its program is in the same folder as the mock gateway. */
class ReplayTest {
    @TempDir
    private lateinit var folder: Path

    /** The exit code of `sipwake replay` and its output: JSON if it could read the file, or else the reason. */
    private fun replay(recording: String): Pair<Int, String> {
        val file = folder.resolve("session.sipreplay").apply { writeText(recording) }
        val program = File(System.getProperty("sipwake.testing.mock")).resolveSibling("sipwake")
        val process = ProcessBuilder(program.path, "replay", "--json", "$file").redirectErrorStream(true).start()
        val said = process.inputStream.bufferedReader().readText()
        return process.waitFor() to said
    }

    private fun options(userAgreed: Boolean) =
        // docs:record
        ClientOptions(recordForReplay = if (userAgreed) 1 shl 20 else null) // at most 1 MiB
        // docs:end

    @Test
    fun `a recorded call is played again to the same decisions and bytes`() = runBlocking {
        MockGateway().use { gateway ->
            App(Memory(), alice(gateway), options(userAgreed = true)).use { app ->
                val recording = assertNotNull(life(gateway, app))
                for (secret in listOf("wonderland", FIRST_TOKEN, FIRST_TOKEN.substringAfter(':'))) assertFalse(secret in recording, recording)
                val (code, said) = replay(recording)
                assertEquals(0, code, said)
                val played = Json.parseToJsonElement(said).jsonObject
                assertEquals(JsonNull, played["difference"])
                assertTrue(played.getValue("same").jsonPrimitive.boolean && !played.getValue("full").jsonPrimitive.boolean, said)
                // Two REGISTERs, each after a push or a start; 180 and 200 to the INVITE; a BYE.
                assertTrue(played.getValue("messages").jsonPrimitive.int >= 5, said)
                val decided = played.decisions()
                for (name in listOf("registered", "push-judged", "ringing", "connected")) assertTrue(name in decided, "$name is not in $decided")
                // The replay compares both the messages and the decisions in the file.
                assertEquals(2, replay(recording.replace("180 Ringing", "182 Queued")).first)
                assertEquals(2, replay(recording.replace("\"code\":506", "\"code\":504")).first)
                val (refused, why) = replay(recording.substringBeforeLast("\n{\"end\""))
                assertTrue(refused == 1 && "send the whole file" in why, why)
            }
        }
    }

    private fun JsonObject.decisions() =
        getValue("decisions").jsonArray.map { it.jsonObject.getValue("name").jsonPrimitive.content }.toSet()

    /** Registers, wakes for a call, answers and hangs up. */
    private suspend fun life(gateway: MockGateway, app: App): String? {
        app.client.setToken(app.account, FIRST_TOKEN)
        app.client.register(app.account)
        app.next<SipWakeEvent.Registered>()
        gateway.sleep()
        val placed = gateway.placeCall()
        app.takePush(gateway.nextPush())
        val call = app.next<SipWakeEvent.CallRinging>().uuid
        app.client.answer(call)
        app.next<SipWakeEvent.CallAnswerWanted>()
        app.client.accept(call, SessionDescription("v=0\r\n"))
        app.next<SipWakeEvent.CallConnected>()
        app.client.hangUp(call)
        app.next<SipWakeEvent.CallEnded>()
        gateway.waitCall(placed, "hung_up_by_callee")
        val client = app.client
        // docs:recording
        val recording: String? = client.recording()
        // docs:end
        return recording
    }

    @Test
    fun `nothing is recorded unless the app asks for it`() = runBlocking {
        App(Memory(), alice(), options(userAgreed = false)).use { app -> assertNull(app.client.recording()) }
    }

    @Test
    fun `events after the limit are missing, and the replay says so`() = runBlocking {
        App(Memory(), alice(), ClientOptions(recordForReplay = 1)).use { app ->
            app.client.setToken(app.account, FIRST_TOKEN)
            val (code, said) = replay(assertNotNull(app.client.recording()))
            assertEquals(0, code, said)
            assertTrue(Json.parseToJsonElement(said).jsonObject.getValue("full").jsonPrimitive.boolean, said)
        }
    }

    @Test
    fun `an invalid limit is refused with its name`() {
        for (cap in listOf(0, -1, Int.MAX_VALUE)) {
            val refused = assertFailsWith<SipWakeException> { SipWakeClient(Memory(), options = OptionsBuilder().recordForReplay(cap).build()) }
            assertEquals(ErrorKind.INVALID_FIELD to "options.record_for_replay", refused.kind to refused.field)
        }
    }

    @Test
    fun `after the end there is no recording`() = runBlocking {
        val client = SipWakeClient(Memory(), options = options(userAgreed = true)).apply { close() }
        assertEquals(ErrorKind.SHUT_DOWN, assertFailsWith<SipWakeException> { client.recording() }.kind)
    }
}
