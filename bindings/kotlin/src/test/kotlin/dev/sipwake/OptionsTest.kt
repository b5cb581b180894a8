package dev.sipwake

import java.security.cert.CertificateException
import java.security.cert.X509Certificate
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertTrue
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

class OptionsTest {
    private val sealed = mapOf("box" to "…")
    private val opener = Decryptor { payload ->
        if (payload is PushPayload.Fields && "box" in payload.entries) mapOf("ntype" to "0", "nfrom" to "1234", "ncallid" to "c1") else null
    }

    private fun registerOverTls(trust: ServerTrust): SipWakeEvent = registerOverTls { ClientOptions(serverTrust = trust) }

    @Test
    fun `the app's verifier accepts a server that no authority signed`() {
        val seen = CopyOnWriteArrayList<Pair<List<X509Certificate>, String>>()
        assertIs<SipWakeEvent.Registered>(registerOverTls { chain, name -> seen += chain to name })
        val (chain, name) = seen.first()
        assertEquals("CN=Our own server" to "127.0.0.1", chain.single().subjectX500Principal.name to name)
    }

    @Test
    fun `the app's verifier refuses a server, and its reason is reported`() {
        for (thrown in listOf(CertificateException("never seen this one"), StackOverflowError("never seen this one"))) {
            val failed = registerOverTls { _, _ -> throw thrown }
            assertIs<SipWakeEvent.RegistrationFailed>(failed)
            assertTrue("never seen this one" in failed.reason, failed.reason)
        }
    }

    @Test
    fun `on a desktop Mozilla's list decides unless the app has its own verifier`() {
        val failed = registerOverTls { ClientOptions() }
        assertIs<SipWakeEvent.RegistrationFailed>(failed)
        assertTrue("issued by an authority that is not trusted" in failed.reason, failed.reason)
    }

    @Test
    fun `an invalid trust setting is refused at once`() {
        val bad = listOf(ClientOptions(authorities = byteArrayOf(1)), ClientOptions(pins = listOf("sha256/short")))
        for (options in bad) {
            val refused = assertFailsWith<SipWakeException> { SipWakeClient(Memory(), options = options) }
            assertEquals(ErrorKind.INVALID_FIELD, refused.kind)
        }
    }

    @Test
    fun `a payload is opened before it is read`() {
        val opened = assertIs<PushAction.IncomingCall>(parsePush(opener, sealed))
        assertEquals("1234", opened.details.caller)
        assertEquals("5", parsePush(opener, mapOf("ntype" to "0", "nfrom" to "5")).details.caller)
        SipWakeClient(Memory(), listOf(alice()), options = ClientOptions(decryptor = opener)).use { client ->
            assertEquals("1234", client.push(sealed).details.caller)
            client.close()
            assertEquals("1234", client.push(sealed).details.caller, "after the end a push is only read")
        }
    }

    @Test
    fun `a decryptor that throws leaves the payload as it is`() {
        for (thrown in listOf(IllegalStateException("no key"), OutOfMemoryError("on purpose"))) {
            val broken = Decryptor { throw thrown }
            assertEquals("5", parsePush(broken, mapOf("ntype" to "0", "nfrom" to "5")).details.caller)
            val voip = parsePush(broken, "{}".encodeToByteArray(), Channel.PUSH_KIT)
            assertEquals(Duty.ReportCall, voip.duty)
        }
        @Suppress("UNCHECKED_CAST")
        val odd = Decryptor { mapOf("ntype" to "0", "nfrom" to 7, "nmsg" to null) as Map<String, String> }
        assertEquals("7", parsePush(odd, sealed).details.caller)
    }

    @Test
    fun `a trace shows the REGISTER without its secrets`() = runBlocking {
        MockGateway().use { gateway ->
            val seen = CopyOnWriteArrayList<TracedMessage>()
            val options = ClientOptions(trace = { message ->
                seen += message
                throw StackOverflowError("dropped")
            })
            val setup = alice(gateway)
            SipWakeClient(Memory(), listOf(setup), options = options).use { client ->
                client.setToken(setup.account.id(), FIRST_TOKEN)
                client.register(setup.account.id())
                withTimeout(PATIENCE_MS) { client.events.first { it is SipWakeEvent.Registered } }
                withTimeout(PATIENCE_MS) { while (seen.none { !it.sent && " 200 " in it.text }) delay(20) }
            }
            val all = seen.joinToString("\n") { it.text }
            assertTrue(seen.any { it.sent && it.text.startsWith("REGISTER ") && "uthorization" in it.text }, all)
            assertFalse(FIRST_TOKEN in all, "the token")
            assertFalse("wonderland" in all, "the password")
            assertFalse(Regex("response=\"?[0-9a-f]{32}").containsMatchIn(all), "the digest answer")
        }
    }

    @Test
    fun `an invalid probe port is refused with its name`() {
        SipWakeClient(Memory(), options = ClientOptions(probing = GatewayProbe.WsLoad(https = true, port = 443))).close()
        val refused = assertFailsWith<SipWakeException> {
            SipWakeClient(Memory(), options = ClientOptions(probing = GatewayProbe.WsLoad(https = false, port = 70_000)))
        }
        assertEquals("options.probing.port", refused.field)
    }
}
