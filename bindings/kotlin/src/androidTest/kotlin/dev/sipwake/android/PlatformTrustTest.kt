package dev.sipwake.android

import java.security.cert.CertificateException
import java.security.cert.X509Certificate
import javax.net.ssl.X509TrustManager
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
class PlatformTrustTest {
    /** As Android's own: it takes the host beside what the interface says, and `X509TrustManagerExtensions` finds that. */
    @Suppress("unused")
    class Manager : X509TrustManager {
        val asked = mutableListOf<String>()

        fun checkServerTrusted(chain: Array<X509Certificate>, authType: String, host: String): List<X509Certificate> {
            asked += host
            if (host != "sip.example.com") throw CertificateException("not for $host")
            return chain.toList()
        }

        fun isSameTrustConfiguration(first: String, second: String): Boolean = first == second
        override fun checkClientTrusted(chain: Array<X509Certificate>, authType: String) = throw CertificateException()
        override fun checkServerTrusted(chain: Array<X509Certificate>, authType: String) = throw CertificateException()
        override fun getAcceptedIssuers(): Array<X509Certificate> = emptyArray()
    }

    @Test
    fun `Android judges with the name of the server`() {
        val manager = Manager()
        val trust = PlatformTrust(manager)
        trust.verify(emptyList(), "sip.example.com")
        val refused = assertFailsWith<CertificateException> { trust.verify(emptyList(), "sip.example.org") }
        assertEquals("not for sip.example.org", refused.message)
        assertEquals(listOf("sip.example.com", "sip.example.org"), manager.asked)
    }
}
