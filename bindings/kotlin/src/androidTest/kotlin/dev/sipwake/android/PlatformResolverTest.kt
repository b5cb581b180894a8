package dev.sipwake.android

import android.net.DnsResolver
import android.net.Network
import android.os.CancellationSignal
import dev.sipwake.NaptrRecord
import dev.sipwake.SrvRecord
import dev.sipwake.systemResolver
import java.io.ByteArrayOutputStream
import java.io.DataOutputStream
import java.io.IOException
import java.util.concurrent.Executor
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNull
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.Implementation
import org.robolectric.annotation.Implements

/** The answers of Android's resolver as DNS messages, because Robolectric has no resolver. */
@Implements(DnsResolver::class)
class DnsPlayed {
    @Implementation
    @Suppress("LongParameterList", "UNUSED_PARAMETER")
    fun rawQuery(
        network: Network?,
        name: String,
        nsClass: Int,
        type: Int,
        flags: Int,
        executor: Executor,
        cancel: CancellationSignal?,
        callback: DnsResolver.Callback<ByteArray>,
    ) = executor.execute {
        when (name) {
            "_sips._tcp.example.com" -> callback.onAnswer(answer(type) {
                writeShort(10)
                writeShort(5)
                writeShort(5061)
                name("sip1", "example", "com")
            }, 0)
            "example.com" -> callback.onAnswer(answer(type) {
                writeShort(1)
                writeShort(2)
                listOf("s", "SIPS+D2T", "").forEach { text(it) }
                name("_sips", "_tcp", "example", "com")
            }, 0)
            "nothing.example.com" -> callback.onAnswer(ByteArray(12), NO_SUCH_NAME)
            else -> callback.onError(failure())
        }
    }

    /** Only Android can create one. */
    private fun failure(): DnsResolver.DnsException {
        val made = DnsResolver.DnsException::class.java.declaredConstructors.first { it.parameterCount == 2 }
        return made.apply { isAccessible = true }.newInstance(DnsResolver.ERROR_SYSTEM, null) as DnsResolver.DnsException
    }

    private fun answer(type: Int, data: DataOutputStream.() -> Unit): ByteArray = bytes {
        listOf(1, 0x8180, 0, 1, 0, 0).forEach { writeShort(it) }
        name("example", "com")
        writeShort(type)
        writeShort(DnsResolver.CLASS_IN)
        writeInt(300)
        val record = bytes(data)
        writeShort(record.size)
        write(record)
    }

    private fun DataOutputStream.name(vararg labels: String) {
        labels.forEach { text(it) }
        writeByte(0)
    }

    private fun DataOutputStream.text(text: String) {
        writeByte(text.length)
        writeBytes(text)
    }

    private fun bytes(write: DataOutputStream.() -> Unit): ByteArray =
        ByteArrayOutputStream().also { DataOutputStream(it).write() }.toByteArray()

    private companion object {
        const val NO_SUCH_NAME = 3
    }
}

@RunWith(RobolectricTestRunner::class)
// Another version of Android than in the other tests, which have created its one resolver without the shadow.
@Config(sdk = [31], manifest = Config.NONE, shadows = [DnsPlayed::class])
class PlatformResolverTest {
    @Test
    fun `Android resolves SRV and NAPTR records, and the system resolves addresses`() {
        val resolver = PlatformResolver()
        assertEquals(listOf(SrvRecord(10, 5, 5061, "sip1.example.com.")), resolver.srv("_sips._tcp.example.com"))
        assertEquals(listOf(NaptrRecord(1, 2, "s", "SIPS+D2T", "_sips._tcp.example.com.")), resolver.naptr("example.com"))
        assertEquals(emptyList(), resolver.srv("nothing.example.com"))
        assertFailsWith<IOException> { resolver.srv("broken.example.com") }
        assertNull(resolver.addresses("example.com"))
    }

    @Test
    fun `a client asks Android by itself from Android 10 on`() {
        assertIs<PlatformResolver>(systemResolver())
    }

}

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [26], manifest = Config.NONE)
class OldResolverTest {
    @Test
    fun `before Android 10 only the system is asked`() {
        assertNull(systemResolver())
    }
}
