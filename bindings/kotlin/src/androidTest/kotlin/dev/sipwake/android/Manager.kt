package dev.sipwake.android

import java.security.KeyStore
import java.security.Provider
import java.security.Security
import java.security.cert.CertificateException
import java.security.cert.X509Certificate
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicInteger
import javax.net.ssl.ManagerFactoryParameters
import javax.net.ssl.TrustManager
import javax.net.ssl.TrustManagerFactorySpi
import javax.net.ssl.X509TrustManager

/**
 * A trust manager like Android's own: it has a method with the host in addition to the interface, and `X509TrustManagerExtensions`
 * finds that. Without the host it refuses everything, as Android's does if the network security configuration names domains.
 */
@Suppress("unused")
class Manager(private val trusted: Set<String>) : X509TrustManager {
    /** The names of the servers that it was asked about. */
    val asked = CopyOnWriteArrayList<String>()

    /** How often it was used as the system's. */
    val found = AtomicInteger()

    fun checkServerTrusted(chain: Array<X509Certificate>, authType: String, host: String): List<X509Certificate> {
        asked += host
        if (host !in trusted) throw CertificateException("not for $host")
        return chain.toList()
    }

    fun isSameTrustConfiguration(first: String, second: String): Boolean = first == second
    override fun checkClientTrusted(chain: Array<X509Certificate>, authType: String) = throw CertificateException()
    override fun checkServerTrusted(chain: Array<X509Certificate>, authType: String) = throw CertificateException()
    override fun getAcceptedIssuers(): Array<X509Certificate> = emptyArray()

    /** Makes this the system's trust manager while the block runs. Robolectric has none. */
    fun <T> ofTheSystem(block: () -> T): T {
        val before = Security.getProperty(ALGORITHM)
        Security.addProvider(System())
        Security.setProperty(ALGORITHM, NAME)
        systems = this
        try {
            return block()
        } finally {
            Security.setProperty(ALGORITHM, before)
            Security.removeProvider(NAME)
        }
    }

    private class System : Provider(NAME, "1", "stands in for Android's") {
        init {
            put("TrustManagerFactory.$NAME", Factory::class.java.name)
        }
    }

    class Factory : TrustManagerFactorySpi() {
        override fun engineInit(store: KeyStore?): Unit = check(store == null) { "Android would trust this store alone" }
        override fun engineInit(parameters: ManagerFactoryParameters): Unit = error("not asked for")
        override fun engineGetTrustManagers(): Array<TrustManager> = arrayOf(systems.also { it.found.incrementAndGet() })
    }

    private companion object {
        const val ALGORITHM = "ssl.TrustManagerFactory.algorithm"
        const val NAME = "StandIn"
        lateinit var systems: Manager
    }
}
