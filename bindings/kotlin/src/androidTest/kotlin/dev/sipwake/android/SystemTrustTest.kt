package dev.sipwake.android

import dev.sipwake.ClientOptions
import dev.sipwake.GatewayProbe
import dev.sipwake.Memory
import dev.sipwake.MockGateway
import dev.sipwake.PATIENCE_MS
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeEvent
import dev.sipwake.TlsFront
import dev.sipwake.Transport
import dev.sipwake.alice
import dev.sipwake.registerOverTls
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.ConscryptMode

/** How a client on Android verifies servers if its options say nothing about trust. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
// [TlsFront] uses the JDK's own TLS, as in other tests.
@ConscryptMode(ConscryptMode.Mode.OFF)
class SystemTrustTest {
    private val everyone = Manager(setOf("127.0.0.1"))
    private val nobody = Manager(emptySet())

    @Test
    fun `Android accepts a server that no authority on Mozilla's list has signed`() {
        val event = everyone.ofTheSystem { registerOverTls { ClientOptions() } }
        assertIs<SipWakeEvent.Registered>(event, "$event")
        assertEquals("127.0.0.1", everyone.asked.first())
    }

    @Test
    fun `Android refuses a server, and its reason is reported`() {
        val failed = assertIs<SipWakeEvent.RegistrationFailed>(nobody.ofTheSystem { registerOverTls { ClientOptions() } })
        assertTrue("not for 127.0.0.1" in failed.reason, failed.reason)
    }

    @Test
    fun `a pin is checked in addition to Android`() {
        val options = ClientOptions(pins = listOf("sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="))
        val failed = assertIs<SipWakeEvent.RegistrationFailed>(everyone.ofTheSystem { registerOverTls { options } })
        assertTrue("pinned" in failed.reason, failed.reason)
    }

    @Test
    fun `Android is not asked if the app names its own trust`() {
        nobody.ofTheSystem {
            val own = registerOverTls { ClientOptions(authorities = it.certificate) }
            assertIs<SipWakeEvent.Registered>(own, "$own")
            val asked = registerOverTls { ClientOptions(serverTrust = { _, _ -> }) }
            assertIs<SipWakeEvent.Registered>(asked, "$asked")
        }
        assertEquals(emptyList(), nobody.asked.toList())
    }

    @Test
    fun `a probe over HTTPS asks Android`(): Unit = nobody.ofTheSystem {
        MockGateway().use { gateway ->
            TlsFront(gateway).use { front ->
                val plain = alice(gateway, Transport.TCP)
                val second = gateway.address.replace("127.0.0.1", "localhost")
                val setup = plain.copy(account = plain.account.copy(gateways = listOf(gateway.address, second)))
                val options = ClientOptions(probing = GatewayProbe.WsLoad(https = true, port = front.port))
                SipWakeClient(Memory(), listOf(setup), options = options).use { client ->
                    runBlocking { client.register(setup.account.id()) }
                    val end = System.nanoTime() + PATIENCE_MS * 1_000_000
                    while (nobody.asked.isEmpty() && System.nanoTime() < end) Thread.sleep(10)
                }
            }
        }
        assertTrue("127.0.0.1" in nobody.asked, "asked: ${nobody.asked}")
    }

    @Test
    fun `Android's trust manager is only loaded at the first certificate`() {
        nobody.ofTheSystem {
            SipWakeClient(Memory(), listOf(alice())).close()
            assertEquals(0, nobody.found.get())
            PlatformTrust()
            assertEquals(1, nobody.found.get(), "it would have been seen")
        }
    }
}
