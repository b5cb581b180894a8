package dev.sipwake.android

import android.net.DnsResolver
import android.net.Network
import android.os.CancellationSignal
import androidx.annotation.RequiresApi
import dev.sipwake.DnsAnswer
import dev.sipwake.NaptrRecord
import dev.sipwake.Resolver
import dev.sipwake.SrvRecord
import dev.sipwake.dnsAnswers
import java.io.IOException
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException

/**
 * Asks Android's `DnsResolver` for SRV and NAPTR records, on the default network with its private DNS. The system looks up
 * addresses. From Android 10 on, every client without a resolver in its options uses it.
 *
 * @param network the network to ask. The default is the default network
 */
@RequiresApi(29)
public class PlatformResolver @JvmOverloads constructor(private val network: Network? = null) : Resolver {
    override fun srv(name: String): List<SrvRecord> = ask(name, TYPE_SRV).mapNotNull(DnsAnswer::srv)

    override fun naptr(domain: String): List<NaptrRecord> = ask(domain, TYPE_NAPTR).mapNotNull(DnsAnswer::naptr)

    private fun ask(name: String, type: Int): List<DnsAnswer> {
        val answered = CompletableFuture<List<DnsAnswer>>()
        val cancel = CancellationSignal()
        val callback = object : DnsResolver.Callback<ByteArray> {
            override fun onAnswer(answer: ByteArray, code: Int) {
                answered.complete(if (code == 0) dnsAnswers(answer, type) else emptyList())
            }

            override fun onError(error: DnsResolver.DnsException) {
                answered.completeExceptionally(error)
            }
        }
        DnsResolver.getInstance().rawQuery(network, name, DnsResolver.CLASS_IN, type, DnsResolver.FLAG_EMPTY, Runnable::run, cancel, callback)
        try {
            return answered.get(PATIENCE_SECONDS, TimeUnit.SECONDS)
        } catch (error: ExecutionException) {
            throw IOException("$name: ${error.cause}", error.cause)
        } catch (late: TimeoutException) {
            cancel.cancel()
            throw IOException("$name: no answer in $PATIENCE_SECONDS s", late)
        }
    }

    private companion object {
        const val TYPE_SRV = 33
        const val TYPE_NAPTR = 35

        /** Less than a look-up may take as a whole. */
        const val PATIENCE_SECONDS = 8L
    }
}
