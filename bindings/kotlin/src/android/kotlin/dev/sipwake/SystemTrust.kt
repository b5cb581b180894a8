package dev.sipwake

import dev.sipwake.android.PlatformTrust
import java.security.cert.X509Certificate

/** Whoever judges where an app's options name nobody. Null without Android's classes: the archive may be used on a desktop. */
internal fun systemTrust(): ServerTrust? = try {
    Class.forName("android.net.http.X509TrustManagerExtensions")
    SystemTrust()
} catch (_: ClassNotFoundException) {
    null
}

/** Asks for Android's trust manager at the first certificate: a wake-up over UDP or TCP does without. */
private class SystemTrust : ServerTrust {
    private val platform by lazy { PlatformTrust() }

    override fun verify(chain: List<X509Certificate>, serverName: String): Unit = platform.verify(chain, serverName)
}
