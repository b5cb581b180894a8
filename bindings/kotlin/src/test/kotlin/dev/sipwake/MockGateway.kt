package dev.sipwake

import java.io.File
import java.net.Socket
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicLong
import kotlin.concurrent.thread
import kotlin.test.assertNotNull
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long

/** How long a test waits for what must come, at most: a busy machine is slow, not wrong. */
const val PATIENCE_MS = 120_000L

/** The mock gateway as a program of its own, driven through its control port. See tests/mock-gateway/README.md. */
class MockGateway(profile: String = "mizutech", user: String = "alice", password: String = "wonderland") : AutoCloseable {
    private val process = ProcessBuilder(
        File(System.getProperty("sipwake.library"), "mock-gateway").path,
        "--profile", profile, "--user", "$user:$password", "--exit-with-stdin",
    ).redirectError(ProcessBuilder.Redirect.INHERIT).start()
    private val announced = Json.parseToJsonElement(assertNotNull(process.inputStream.bufferedReader().readLine())).jsonObject
    private val socket = announced.text("control").let { Socket(it.substringBeforeLast(':'), it.substringAfterLast(':').toInt()) }
    private val numbers = AtomicLong()
    private val waiting = ConcurrentHashMap<Long, CompletableFuture<JsonObject>>()
    private val pushes = LinkedBlockingQueue<JsonObject>()

    /** Where it listens for SIP over UDP and TCP. */
    val address: String = announced.text("address")

    init {
        thread(isDaemon = true) {
            runCatching {
                socket.getInputStream().bufferedReader().forEachLine { line ->
                    val message = Json.parseToJsonElement(line).jsonObject
                    when (val event = message["event"]) {
                        null -> waiting.remove(message.getValue("id").jsonPrimitive.long)?.complete(message)
                        else -> if (event.jsonPrimitive.content == "push") pushes.add(message.getValue("push").jsonObject)
                    }
                }
            }
        }
        ask("subscribe", "what" to JsonArray(listOf(JsonPrimitive("pushes"))))
    }

    fun ask(op: String, vararg fields: Pair<String, JsonElement>): JsonObject {
        val id = numbers.incrementAndGet()
        val reply = CompletableFuture<JsonObject>().also { waiting[id] = it }
        val request = JsonObject(mapOf("id" to JsonPrimitive(id), "op" to JsonPrimitive(op)) + fields)
        synchronized(socket) { socket.getOutputStream().write("$request\n".toByteArray()) }
        val answer = reply.get(PATIENCE_MS + 10_000, TimeUnit.MILLISECONDS)
        check(answer.getValue("ok").jsonPrimitive.boolean) { "$op: $answer" }
        return answer
    }

    /** The next push as an app receives it: FCM's data. */
    fun nextPush(): Map<String, String> {
        val push = assertNotNull(pushes.poll(PATIENCE_MS, TimeUnit.MILLISECONDS), "no push came")
        return push.getValue("payload").jsonObject.mapValues { it.value.jsonPrimitive.content }
    }

    fun placeCall(user: String = "alice", vararg options: Pair<String, JsonElement>): Long =
        ask("place_call", "user" to JsonPrimitive(user), *options).call("call").long

    fun waitCall(call: Long, state: String) {
        val fields = mapOf("state" to JsonPrimitive(state), "timeout_ms" to JsonPrimitive(PATIENCE_MS))
        val seen = ask("wait_call", "call" to JsonPrimitive(call), *fields.toList().toTypedArray()).call("state").content
        check(seen == state) { "the call is $seen, not $state" }
    }

    fun bindings(user: String = "alice"): List<JsonObject> =
        ask("bindings", "user" to JsonPrimitive(user)).getValue("bindings").jsonArray.map { it.jsonObject }

    fun tokens(): List<String> = bindings().mapNotNull { (it["push"] as? JsonObject)?.text("token") }

    fun sleep(user: String = "alice") {
        ask("sleep", "user" to JsonPrimitive(user), "close" to JsonPrimitive(true))
    }

    fun registersReceived(after: Long): Int = messages(after).count {
        it.text("direction") == "received" && it.text("text").startsWith("REGISTER ")
    }

    fun lastMessage(): Long = messages(0).lastOrNull()?.getValue("seq")?.jsonPrimitive?.long ?: 0

    fun violations(): JsonArray = ask("violations").getValue("violations").jsonArray

    private fun messages(after: Long) =
        ask("messages", "after" to JsonPrimitive(after)).getValue("messages").jsonArray.map { it.jsonObject }

    override fun close() {
        runCatching { socket.close() }
        process.outputStream.close()
        if (!process.waitFor(5, TimeUnit.SECONDS)) process.destroyForcibly()
    }
}

private fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content

/** A call's field, whether the answer is the call or holds it. */
private fun JsonObject.call(name: String): JsonPrimitive = when (val call = this["call"]) {
    is JsonObject -> call.getValue(name).jsonPrimitive
    else -> getValue(name).jsonPrimitive
}
