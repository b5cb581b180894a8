import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.Provider
import dev.sipwake.PushAction
import dev.sipwake.PushConfig
import dev.sipwake.ClientOptions
import dev.sipwake.SessionDescription
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeEvent
import dev.sipwake.StateStore
import dev.sipwake.TracedMessage
import java.net.Socket
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.ConcurrentLinkedQueue
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/**
 * Uses the package as an app does: a push becomes a call, a suspending function ends, the store is written. With the mock gateway's
 * program as its argument it also registers there and takes a call.
 */
fun main(arguments: Array<String>) {
    val records = ConcurrentHashMap<String, ByteArray>()
    val store = object : StateStore {
        override fun load(key: String): ByteArray? = records[key]
        override fun save(key: String, bytes: ByteArray) {
            records[key] = bytes
        }

        override fun remove(key: String) {
            records.remove(key)
        }
    }
    val setup = AccountSetup(
        AccountConfig("sip:alice@127.0.0.1", "wonderland"),
        PushConfig(Provider.Fcm, "com.example.app"),
    )
    SipWakeClient(store, listOf(setup)).use { client ->
        runBlocking { client.setToken(setup.account.id(), "c-10-ap_Kt0:APA91bFirstTokenOfThisPhone0001") }
        val action = client.push(
            mapOf("ntype" to "0", "nfromusername" to "John", "ntouser" to "alice", "ncallid" to "c1@example.com"),
        )
        check(action is PushAction.IncomingCall) { "a push of a call became $action" }
        check(action.details.callerLabel == "John") { "the caller is ${action.details.callerLabel}" }
        runBlocking { client.networkChanged() }
    }
    check(records.isNotEmpty()) { "nothing was saved" }
    val from = SipWakeClient::class.java.protectionDomain.codeSource.location
    arguments.firstOrNull()?.let(::registersAndTakesACall)
    println("a call by John, with the classes of ${from.path.substringAfterLast('/')}")
}

private fun registersAndTakesACall(program: String) {
    val gateway = ProcessBuilder(program, "--exit-with-stdin").redirectError(ProcessBuilder.Redirect.INHERIT).start()
    val announced = gateway.inputStream.bufferedReader().readLine()
    fun place(what: String) = checkNotNull(Regex("\"$what\":\"([^\"]+)\"").find(announced)) { announced }.groupValues[1]
    val setup = AccountSetup(AccountConfig("sip:alice@mock.example", "wonderland").copy(gateways = listOf(place("address"))), push = null)
    val account = setup.account.id()
    val seen = ConcurrentLinkedQueue<TracedMessage>()
    SipWakeClient(Forgetful, listOf(setup), options = ClientOptions(trace = { seen += it })).use { client ->
        suspend fun <T> hear(what: suspend (SipWakeEvent) -> T?): T = withTimeout(2.minutes) {
            var heard: T? = null
            client.events.first { event -> what(event).also { heard = it } != null }
            heard!!
        }
        runBlocking {
            client.register(account)
            hear { event -> (event as? SipWakeEvent.Registered)?.takeIf { it.account == account } }
            val (host, port) = place("control").split(':')
            Socket(host, port.toInt()).use { control ->
                control.getOutputStream().write("{\"id\":1,\"op\":\"place_call\",\"user\":\"alice\"}\n".toByteArray())
                val call = hear { (it as? SipWakeEvent.CallRinging)?.uuid }
                client.answer(call)
                hear { it as? SipWakeEvent.CallAnswerWanted }
                client.accept(call, SessionDescription("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"))
                hear { it as? SipWakeEvent.CallConnected }
                client.hangUp(call)
                hear { it as? SipWakeEvent.CallEnded }
            }
        }
    }
    check(seen.any { it.sent && it.text.startsWith("REGISTER") }) { "no REGISTER in the trace" }
    gateway.outputStream.close()
}

private object Forgetful : StateStore {
    override fun load(key: String): ByteArray? = null
    override fun save(key: String, bytes: ByteArray) {}
    override fun remove(key: String) {}
}
