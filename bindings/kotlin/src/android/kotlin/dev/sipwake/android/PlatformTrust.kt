package dev.sipwake.android

import android.net.http.X509TrustManagerExtensions
import dev.sipwake.ServerTrust
import java.security.KeyStore
import java.security.cert.X509Certificate
import javax.net.ssl.TrustManagerFactory
import javax.net.ssl.X509TrustManager

/**
 * Has Android judge the servers' certificates: by the app's network security configuration, or with a trust manager of the app's own. A
 * client without a judge and authorities in its options does this by default.
 *
 * Without such a configuration Android trusts the system's authorities, and the user's only in apps for Android 6 and older.
 * The server's name is given to Android, whose rules may differ from name to name; the SDK checks the name besides.
 *
 * @param manager the system's when left out
 */
public class PlatformTrust(manager: X509TrustManager = systemTrustManager()) : ServerTrust {
    private val rules = X509TrustManagerExtensions(manager)

    override fun verify(chain: List<X509Certificate>, serverName: String) {
        // TLS 1.3 has no key exchange that Android would look at; this is what it passes itself.
        rules.checkServerTrusted(chain.toTypedArray(), "GENERIC", serverName)
    }
}

private fun systemTrustManager(): X509TrustManager {
    val factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm())
    factory.init(null as KeyStore?)
    return factory.trustManagers.firstNotNullOf { it as? X509TrustManager }
}
