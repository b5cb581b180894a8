package dev.sipwake

import dev.sipwake.ffi.NaptrRecord as FfiNaptr
import dev.sipwake.ffi.Resolver as FfiResolver
import dev.sipwake.ffi.SrvRecord as FfiSrv
import java.net.InetAddress

/**
 * Looks up names (RFC 3263).
 *
 * Each call may block. It runs on its own thread, and several run at once. If it throws or takes more than ten seconds, it counts
 * as no result.
 */
public interface Resolver {
    /** Returns a host's addresses, best first. Null asks the system. */
    public fun addresses(host: String): List<InetAddress>? = null

    /** Returns the SRV records of a name such as `_sip._udp.example.com`. */
    public fun srv(name: String): List<SrvRecord> = emptyList()

    /** Returns the NAPTR records of a domain. */
    public fun naptr(domain: String): List<NaptrRecord> = emptyList()
}

/**
 * An SRV record (RFC 2782). Each number is between 0 and 65535.
 *
 * @property priority the lowest is tried first
 * @property weight the share of requests among the records of the same priority
 * @property port the port
 * @property target the host. `.` says that there is no such service
 */
public data class SrvRecord(val priority: Int, val weight: Int, val port: Int, val target: String)

/**
 * A NAPTR record (RFC 3403), without its regular expression, which SIP does not use. Each number is between 0 and 65535.
 *
 * @property order the lowest is tried first
 * @property preference among records of the same order, the lowest is tried first
 * @property flags `s` if SRV records follow
 * @property service for example `SIP+D2U`
 * @property replacement the name of the SRV records
 */
public data class NaptrRecord(
    val order: Int,
    val preference: Int,
    val flags: String,
    val service: String,
    val replacement: String,
)

internal class SafeResolver(private val resolver: Resolver) : FfiResolver {
    override fun addresses(host: String): List<String>? = guarded {
        // A link-local address has its interface behind it. The address of a SIP server does not need that.
        resolver.addresses(host)?.map { it.hostAddress.orEmpty().substringBefore('%') }
    }

    override fun srv(name: String): List<FfiSrv> = guarded {
        resolver.srv(name).map { FfiSrv(it.priority.short(), it.weight.short(), it.port.short(), it.target) }
    }

    override fun naptr(domain: String): List<FfiNaptr> = guarded {
        resolver.naptr(domain).map { FfiNaptr(it.order.short(), it.preference.short(), it.flags, it.service, it.replacement) }
    }

    private fun Int.short(): UShort {
        require(this in 0..0xFFFF) { "a number of a record is not between 0 and 65535" }
        return toUShort()
    }
}
