package dev.sipwake.android

import android.net.http.X509TrustManagerExtensions
import dev.sipwake.ServerTrust
import java.security.KeyStore
import java.security.cert.X509Certificate
import javax.net.ssl.TrustManagerFactory
import javax.net.ssl.X509TrustManager

/**
 * Lets Android judge the servers' certificates, by the app's network security configuration or with the app's own trust manager. A
 * client whose options name neither a judge nor authorities does this by default.
 *
 * Without such a configuration Android trusts the system's authorities. It trusts the user's authorities only in apps for Android 6
 * and older. Android gets the server's name, because its rules may differ from name to name. The SDK checks the name, too.
 *
 * @param manager the trust manager. The default is the system's
 */
public class PlatformTrust(manager: X509TrustManager = systemTrustManager()) : ServerTrust {
    private val rules = X509TrustManagerExtensions(manager)

    override fun verify(chain: List<X509Certificate>, serverName: String) {
        // TLS 1.3 has no key exchange that Android would check. Android itself passes this word.
        rules.checkServerTrusted(chain.toTypedArray(), "GENERIC", serverName)
    }
}

private fun systemTrustManager(): X509TrustManager {
    val factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm())
    factory.init(null as KeyStore?)
    return factory.trustManagers.firstNotNullOf { it as? X509TrustManager }
}
