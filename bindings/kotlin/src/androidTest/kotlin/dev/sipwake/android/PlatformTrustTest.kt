package dev.sipwake.android

import java.security.cert.CertificateException
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
class PlatformTrustTest {
    @Test
    fun `Android verifies a certificate with the name of the server`() {
        val manager = Manager(setOf("sip.example.com"))
        val trust = PlatformTrust(manager)
        trust.verify(emptyList(), "sip.example.com")
        val refused = assertFailsWith<CertificateException> { trust.verify(emptyList(), "sip.example.org") }
        assertEquals("not for sip.example.org", refused.message)
        assertEquals(listOf("sip.example.com", "sip.example.org"), manager.asked.toList())
    }
}
