import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.FileStore
import dev.sipwake.Provider
import dev.sipwake.PushConfig
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeEvent
import dev.sipwake.testing.MockGateway
import java.nio.file.Files
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking

fun main() = runBlocking {
    MockGateway(profile = "rfc8599").use { server ->
        val account = AccountConfig("sip:alice@mock.example", "wonderland").copy(gateways = listOf(server.address))
        val setup = AccountSetup(account, PushConfig(Provider.Fcm, "my-project"))
        SipWakeClient(FileStore(Files.createTempDirectory("sipwake")), listOf(setup)).use { client ->
            client.setToken(setup.account.id(), "c-10:APA91bExample")
            client.register(setup.account.id())
            val event = client.events.first { it is SipWakeEvent.Registered || it is SipWakeEvent.RegistrationFailed }
            check(event is SipWakeEvent.Registered) { "$event" }
            println("registered; push is ${event.registration.verdict.standing}")
            check(server.tokens() == listOf("c-10:APA91bExample")) { "${server.tokens()}" }
            check(server.violations().isEmpty()) { "${server.violations()}" }
        }
    }
}
