package dev.sipwake

import java.io.ByteArrayOutputStream
import java.io.DataOutputStream
import java.net.InetAddress
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertTrue
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

class ResolverTest {
    @Test
    fun `a server is found by the app's own resolver`() = runBlocking {
        MockGateway().use { gateway ->
            val asked = CopyOnWriteArrayList<String>()
            val zone = object : Resolver {
                override fun addresses(host: String): List<InetAddress> {
                    asked += host
                    return if (host == "sip1.example.test") listOf(InetAddress.getByName("127.0.0.1")) else emptyList()
                }

                override fun naptr(domain: String): List<NaptrRecord> {
                    asked += domain
                    return listOf(NaptrRecord(1, 1, "s", "SIP+D2T", "_odd._tcp.example.test."))
                }

                override fun srv(name: String): List<SrvRecord> {
                    asked += name
                    val port = gateway.address.substringAfterLast(':').toInt()
                    // An exception and an unknown record type are answers without records.
                    return when (name) {
                        "_odd._tcp.example.test" -> listOf(SrvRecord(1, 1, port, "sip1.example.test."))
                        "_sip._udp.example.test" -> listOf(SrvRecord(70_000, 1, port, "sip1.example.test."))
                        else -> error("no network")
                    }
                }
            }
            val setup = alice(gateway).let { it.copy(account = it.account.copy(gateways = listOf("example.test"))) }
            SipWakeClient(Memory(), listOf(setup), options = ClientOptions(resolver = zone)).use { client ->
                client.setToken(setup.account.id(), FIRST_TOKEN)
                client.register(setup.account.id())
                val outcome = withTimeout(PATIENCE_MS) {
                    client.events.first { it is SipWakeEvent.Registered || it is SipWakeEvent.RegistrationFailed }
                }
                assertIs<SipWakeEvent.Registered>(outcome)
            }
            assertTrue(asked.containsAll(listOf("example.test", "_odd._tcp.example.test", "sip1.example.test")), "$asked")
        }
    }

    /** A server's answer to a question for example.com: its names point back into the message. */
    private fun message(type: Int, vararg data: ByteArray): ByteArray = bytes {
        writeShort(0x1234)
        writeShort(0x8180)
        writeShort(1)
        writeShort(data.size)
        writeInt(0)
        write(name("example", "com"))
        writeShort(type)
        writeShort(1)
        for (record in data) {
            writeShort(QUESTION)
            writeShort(type)
            writeShort(1)
            writeInt(300)
            writeShort(record.size)
            write(record)
        }
    }

    private fun bytes(write: DataOutputStream.() -> Unit): ByteArray =
        ByteArrayOutputStream().also { DataOutputStream(it).write() }.toByteArray()

    private fun labels(vararg labels: String): ByteArray = bytes {
        labels.forEach { label ->
            writeByte(label.length)
            writeBytes(label)
        }
    }

    private fun name(vararg labels: String) = labels(*labels) + 0

    private val srv = bytes {
        writeShort(10)
        writeShort(5)
        writeShort(5061)
        write(labels("sip1"))
        writeShort(QUESTION)
    }

    private val naptr = bytes {
        writeShort(100)
        writeShort(50)
        for (text in listOf("s", "SIPS+D2T", "")) {
            writeByte(text.length)
            writeBytes(text)
        }
        write(name("_sips", "_tcp", "example", "com"))
    }

    @Test
    fun `records are read as a server writes them`() {
        assertEquals(listOf(SrvRecord(10, 5, 5061, "sip1.example.com.")), dnsAnswers(message(33, srv), 33).map { it.srv() })
        val none = bytes {
            write(ByteArray(6))
            writeByte(0)
        }
        assertEquals(listOf(SrvRecord(0, 0, 0, ".")), dnsAnswers(message(33, none), 33).map { it.srv() })
        val record = NaptrRecord(100, 50, "s", "SIPS+D2T", "_sips._tcp.example.com.")
        assertEquals(listOf(record), dnsAnswers(message(35, naptr), 35).map { it.naptr() })
        assertEquals(emptyList(), dnsAnswers(message(5, name("elsewhere")), 33), "an alias is none")
    }

    @Test
    fun `a message that is cut, points in a circle or is noise has no records`() {
        val whole = message(33, srv, srv)
        for (length in whole.indices) dnsAnswers(whole.copyOf(length), 33).forEach { it.srv() }
        val circle = bytes {
            write(ByteArray(6))
            // Points at itself. The header, the question and the record's head come before it.
            writeShort(0xC000 or (message(33, ByteArray(6)).size))
        }
        assertEquals(listOf(null), dnsAnswers(message(33, circle), 33).map { it.srv() })
        val random = Random(18)
        repeat(2_000) {
            val noise = whole.copyOf()
            repeat(4) { noise[random.nextInt(noise.size)] = random.nextInt().toByte() }
            dnsAnswers(noise, 33).forEach { answer -> answer.srv()?.let { assertTrue(it.target.length <= 255) } }
        }
    }

    private companion object {
        /** A pointer to the name in the question. */
        const val QUESTION = 0xC00C
    }
}
