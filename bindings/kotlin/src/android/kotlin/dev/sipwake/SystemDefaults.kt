package dev.sipwake

import android.os.Build
import dev.sipwake.android.PlatformResolver
import dev.sipwake.android.PlatformTrust
import java.security.cert.X509Certificate

// The archive may be used on a desktop, too. Android's classes are missing there.

/** Returns the judge of certificates for apps whose options name none. Null without Android's classes. */
internal fun systemTrust(): ServerTrust? = if (onAndroid("android.net.http.X509TrustManagerExtensions")) SystemTrust() else null

/** Android's resolver knows SRV and NAPTR records from Android 10 on. */
internal fun systemResolver(): Resolver? = try {
    if (onAndroid("android.net.DnsResolver") && Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) PlatformResolver() else null
} catch (_: LinkageError) {
    // Android's classes without an Android below them.
    null
}

private fun onAndroid(name: String): Boolean = try {
    Class.forName(name)
    true
} catch (_: ClassNotFoundException) {
    false
}

/** Asks for Android's trust manager only at the first certificate, because a wake-up over UDP or TCP does not need it. */
private class SystemTrust : ServerTrust {
    private val platform by lazy { PlatformTrust() }

    override fun verify(chain: List<X509Certificate>, serverName: String): Unit = platform.verify(chain, serverName)
}
