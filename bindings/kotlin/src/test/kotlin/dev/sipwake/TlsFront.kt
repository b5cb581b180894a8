package dev.sipwake

import java.io.File
import java.net.InetAddress
import java.net.Socket
import java.security.KeyStore
import javax.net.ssl.KeyManagerFactory
import javax.net.ssl.SSLContext
import javax.net.ssl.SSLServerSocket
import kotlin.concurrent.thread
import kotlin.io.path.createTempDirectory
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** Unwraps TLS in front of the mock gateway, with a self-signed certificate. */
class TlsFront(gateway: MockGateway) : AutoCloseable {
    private val folder = createTempDirectory().toFile()
    private val keys = makeKeys()
    private val server = context().serverSocketFactory.createServerSocket(0, 50, InetAddress.getLoopbackAddress()) as SSLServerSocket
    val port: Int = server.localPort
    val address = "127.0.0.1:$port"

    /** The certificate, in DER. */
    val certificate: ByteArray = keys.getCertificate("server").encoded

    init {
        thread(isDaemon = true) {
            runCatching {
                while (true) {
                    val outside = server.accept()
                    val inside = gateway.address.let { Socket(it.substringBeforeLast(':'), it.substringAfterLast(':').toInt()) }
                    for ((from, to) in listOf(outside to inside, inside to outside)) thread(isDaemon = true) {
                        runCatching { from.getInputStream().copyTo(to.getOutputStream(), 1) }
                        runCatching { from.close() }
                        runCatching { to.close() }
                    }
                }
            }
        }
    }

    private fun makeKeys(): KeyStore {
        val file = File(folder, "server.p12")
        val keytool = ProcessBuilder(
            File(System.getProperty("java.home"), "bin/keytool").path, "-genkeypair", "-alias", "server", "-keyalg", "EC",
            "-dname", "CN=Our own server", "-ext", "san=ip:127.0.0.1", "-keystore", file.path, "-storetype", "PKCS12",
            "-storepass", "changeit",
        ).redirectErrorStream(true).start()
        val said = keytool.inputStream.bufferedReader().readText()
        check(keytool.waitFor() == 0) { said }
        return KeyStore.getInstance("PKCS12").apply { file.inputStream().use { load(it, "changeit".toCharArray()) } }
    }

    private fun context(): SSLContext {
        val managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm()).apply { init(keys, "changeit".toCharArray()) }
        return SSLContext.getInstance("TLS").apply { init(managers.keyManagers, null, null) }
    }

    override fun close() {
        server.close()
        folder.deleteRecursively()
    }
}

/** Registers over TLS. Returns the first result. */
fun registerOverTls(options: (TlsFront) -> ClientOptions): SipWakeEvent = runBlocking {
    MockGateway().use { gateway ->
        TlsFront(gateway).use { front ->
            val plain = alice(gateway, Transport.TLS)
            val setup = plain.copy(account = plain.account.copy(gateways = listOf(front.address)))
            SipWakeClient(Memory(), listOf(setup), options = options(front)).use { client ->
                client.setToken(setup.account.id(), FIRST_TOKEN)
                client.register(setup.account.id())
                withTimeout(PATIENCE_MS) {
                    client.events.first { it is SipWakeEvent.Registered || it is SipWakeEvent.RegistrationFailed }
                }
            }
        }
    }
}
