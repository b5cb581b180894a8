import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.Provider
import dev.sipwake.PushAction
import dev.sipwake.PushConfig
import dev.sipwake.SipWakeClient
import dev.sipwake.StateStore
import java.util.concurrent.ConcurrentHashMap
import kotlinx.coroutines.runBlocking

/** Uses the package as an app does: a push becomes a call, a suspending function ends, the store is written. */
fun main() {
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
    println("a call by John, with the classes of ${from.path.substringAfterLast('/')}")
}
