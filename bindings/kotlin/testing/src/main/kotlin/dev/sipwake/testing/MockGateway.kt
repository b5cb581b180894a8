package dev.sipwake.testing

import java.io.File
import java.io.IOException
import java.net.Socket
import java.nio.file.Files
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.ExecutionException
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import java.util.concurrent.atomic.AtomicLong
import kotlin.concurrent.thread
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

/** How long a test waits for an event at most, in milliseconds. A busy machine is slow, not wrong. */
public const val PATIENCE_MS: Long = 120_000L

/** The mock gateway refused a request, never answered, or the awaited event never came. */
public class MockGatewayException(message: String, cause: Throwable? = null) : IllegalStateException(message, cause)

/**
 * A SIP registrar, a push gateway and a fake FCM and APNs on loopback. It is a separate program, which this class controls through its control port.
 *
 * For Linux on x86-64 this library contains the program. On other systems build it (`cargo install mock-gateway`) and set the system
 * property `sipwake.testing.mock` to its path. The property goes before the program in the library.
 *
 * @param profile the kind of server: `rfc8599`, `xmpush`, `mizutech`, `opensips`, `flexisip`, `portsip`, `kamailio` or `none`
 * @param user the one user that it knows
 * @param password that user's password
 * @param habits how it differs from the standards; `mock-gateway --list-habits` prints them
 * @throws MockGatewayException if the program is not there or does not start
 */
public class MockGateway(
    profile: String = "mizutech",
    user: String = "alice",
    password: String = "wonderland",
    habits: List<String> = emptyList(),
) : AutoCloseable {
    private val process = start(
        listOf("--profile", profile, "--user", "$user:$password", "--exit-with-stdin") + habits.flatMap { listOf("--habit", it) },
    )
    private val announced = process.inputStream.bufferedReader().readLine()?.let { Json.parseToJsonElement(it).jsonObject }
        ?: throw MockGatewayException("the mock gateway ended at once, with ${process.waitFor()}; standard error says why")
    private val socket = announced.text("control").let { Socket(it.substringBeforeLast(':'), it.substringAfterLast(':').toInt()) }
    private val numbers = AtomicLong()
    private val waiting = ConcurrentHashMap<Long, CompletableFuture<JsonObject>>()
    private val pushes = LinkedBlockingQueue<JsonObject>()

    /** The address for SIP over UDP and TCP: `host:port`. */
    public val address: String = announced.text("address")

    init {
        thread(isDaemon = true, name = "mock-gateway-control") {
            runCatching { socket.getInputStream().bufferedReader().forEachLine(::received) }
            // Every waiting call learns at once that nothing will come.
            waiting.values.forEach { it.completeExceptionally(IOException("the control port was closed")) }
        }
        ask("subscribe", "what" to JsonArray(listOf(JsonPrimitive("pushes"))))
    }

    private fun received(line: String) {
        val message = Json.parseToJsonElement(line).jsonObject
        when (val event = message["event"]) {
            null -> waiting.remove(message.getValue("id").jsonPrimitive.long)?.complete(message)
            else -> if (event.jsonPrimitive.content == "push") pushes.add(message.getValue("push").jsonObject)
        }
    }

    /**
     * Sends any request that the control port knows, and returns the whole answer.
     *
     * @throws MockGatewayException if it is refused, with the mock's reason
     */
    public fun ask(op: String, vararg fields: Pair<String, JsonElement>): JsonObject {
        val id = numbers.incrementAndGet()
        val reply = CompletableFuture<JsonObject>().also { waiting[id] = it }
        val request = JsonObject(mapOf("id" to JsonPrimitive(id), "op" to JsonPrimitive(op)) + fields)
        synchronized(socket) { socket.getOutputStream().write("$request\n".toByteArray()) }
        val answer = try {
            reply.get(PATIENCE_MS + 10_000, TimeUnit.MILLISECONDS)
        } catch (error: TimeoutException) {
            throw MockGatewayException("$op: no answer", error)
        } catch (error: ExecutionException) {
            throw MockGatewayException("$op: no answer", error.cause)
        }
        if (!answer.getValue("ok").jsonPrimitive.boolean) throw MockGatewayException("$op: $answer")
        return answer
    }

    /**
     * The next push as an app receives it: the data of FCM.
     *
     * @throws MockGatewayException if none comes
     */
    public fun nextPush(): Map<String, String> {
        val push = pushes.poll(PATIENCE_MS, TimeUnit.MILLISECONDS) ?: throw MockGatewayException("no push came")
        return push.getValue("payload").jsonObject.mapValues { it.value.jsonPrimitive.content }
    }

    /**
     * Calls a user. A user who is asleep gets a push first.
     *
     * @param options the control port's, for example `"ring_time_ms" to JsonPrimitive(30_000)`
     * @return the call's number
     */
    public fun placeCall(user: String = "alice", vararg options: Pair<String, JsonElement>): Long =
        ask("place_call", "user" to JsonPrimitive(user), *options).call("call").long

    /**
     * Waits until a call is in a state, for example `ringing`, `answered` or `cancelled`.
     *
     * @throws MockGatewayException if it never is
     */
    public fun waitCall(call: Long, state: String) {
        val fields = mapOf("state" to JsonPrimitive(state), "timeout_ms" to JsonPrimitive(PATIENCE_MS))
        val seen = ask("wait_call", "call" to JsonPrimitive(call), *fields.toList().toTypedArray()).call("state").content
        if (seen != state) throw MockGatewayException("the call is $seen, not $state")
    }

    /** Makes the caller give up or hang up. */
    public fun cancelCall(call: Long) {
        ask("cancel", "call" to JsonPrimitive(call))
    }

    /** The registrar's bindings of a user, in the words of the control port. */
    public fun bindings(user: String = "alice"): List<JsonObject> =
        ask("bindings", "user" to JsonPrimitive(user)).getValue("bindings").jsonArray.map { it.jsonObject }

    /** The push tokens that a user's bindings carry. */
    public fun tokens(user: String = "alice"): List<String> = bindings(user).mapNotNull { (it["push"] as? JsonObject)?.text("token") }

    /** Treats a user's phone as asleep until it registers, and closes its connections. */
    public fun sleep(user: String = "alice") {
        ask("sleep", "user" to JsonPrimitive(user), "close" to JsonPrimitive(true))
    }

    /** From now on the server differs from the standards in these ways, and in no others. */
    public fun setHabits(vararg habits: String) {
        ask("set_habits", "habits" to JsonArray(habits.map(::JsonPrimitive)))
    }

    /** How many REGISTERs came after the message with this number; [lastMessage] has the newest. */
    public fun registersReceived(after: Long): Int = messages(after).count {
        it.text("direction") == "received" && it.text("text").startsWith("REGISTER ")
    }

    /** The number of the newest message, 0 if there is none. */
    public fun lastMessage(): Long = messages(0).lastOrNull()?.getValue("seq")?.jsonPrimitive?.long ?: 0

    /** What the client did against the standards. A test expects it to be empty. */
    public fun violations(): JsonArray = ask("violations").getValue("violations").jsonArray

    private fun messages(after: Long) =
        ask("messages", "after" to JsonPrimitive(after)).getValue("messages").jsonArray.map { it.jsonObject }

    override fun close() {
        runCatching { socket.close() }
        process.outputStream.close()
        if (!process.waitFor(5, TimeUnit.SECONDS)) process.destroyForcibly()
    }

    private companion object {
        fun start(arguments: List<String>): Process = try {
            ProcessBuilder(listOf(program.path) + arguments).redirectError(ProcessBuilder.Redirect.INHERIT).start()
        } catch (error: IOException) {
            throw MockGatewayException("the mock gateway could not be started: ${error.message}", error)
        }

        val program: File by lazy {
            System.getProperty("sipwake.testing.mock")?.let(::File) ?: unpacked()
        }

        /** Copies the program for this platform from the library into a file, which is deleted when the process ends. */
        fun unpacked(): File {
            val os = System.getProperty("os.name").lowercase().substringBefore(' ')
            val machine = System.getProperty("os.arch").replace("amd64", "x86-64").replace("x86_64", "x86-64")
            val name = "$os-$machine/mock-gateway" + if (os == "windows") ".exe" else ""
            val packed = MockGateway::class.java.getResourceAsStream(name) ?: throw MockGatewayException(
                "sipwake-testing has no mock gateway for $os-$machine; " +
                    "build one (cargo install mock-gateway) and name it in the system property sipwake.testing.mock",
            )
            val file = Files.createTempFile("mock-gateway", if (os == "windows") ".exe" else "").toFile()
            file.deleteOnExit()
            packed.use { from -> file.outputStream().use(from::copyTo) }
            file.setExecutable(true, true)
            return file
        }
    }
}

private fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content

/** A field of a call, which is the answer itself or a part of it. */
private fun JsonObject.call(name: String): JsonPrimitive = when (val call = this["call"]) {
    is JsonObject -> call.getValue(name).jsonPrimitive
    else -> getValue(name).jsonPrimitive
}
