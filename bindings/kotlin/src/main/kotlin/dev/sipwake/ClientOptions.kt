package dev.sipwake

import java.io.ByteArrayInputStream
import java.security.cert.CertificateFactory
import java.security.cert.X509Certificate
import java.time.Instant
import dev.sipwake.ffi.ClientCertificate as FfiCertificate
import dev.sipwake.ffi.ClientOptions as FfiOptions
import dev.sipwake.ffi.Decryptor as FfiDecryptor
import dev.sipwake.ffi.GatewayProbe as FfiProbe
import dev.sipwake.ffi.PushPayload as FfiPayload
import dev.sipwake.ffi.ServerTrust as FfiTrust
import dev.sipwake.ffi.TraceListener as FfiTrace
import dev.sipwake.ffi.TracedMessage as FfiTraced

/**
 * Options of a client besides its store and its accounts. All of it may be left out.
 *
 * Where neither [serverTrust] nor [authorities] is given, Android judges the servers' certificates, as the app's network security
 * configuration has it; on any other JVM, Mozilla's list of authorities decides.
 *
 * @property serverTrust judges the servers' certificates
 * @property authorities trusts only these authorities (PEM, or one in DER); not together with [serverTrust]
 * @property pins also demands one of these public keys, as `sha256/BASE64` (RFC 7469 section 2.4)
 * @property clientCertificate shown to servers that ask for a certificate
 * @property decryptor opens payloads before they are read; see also [AccountConfig.sealedPushesOnly]
 * @property trace gets every message that is sent or received
 * @property unsolicitedCalls whether calls over UDP that do not come from the registrar, but from another address, may ring
 * @property probing how the gateways of accounts that list several are probed; by default they are tried in their order
 * @property refuseWildcards takes no certificate that names its server by a wildcard alone (RFC 5922 section 7.2)
 * @property resolver looks names up; by default Android's `DnsResolver` is asked for SRV and NAPTR records from Android 10 on, and the system
 *   for addresses
 */
public class ClientOptions(
    public val serverTrust: ServerTrust? = null,
    public val authorities: ByteArray? = null,
    public val pins: List<String> = emptyList(),
    public val clientCertificate: ClientCertificate? = null,
    public val decryptor: Decryptor? = null,
    public val trace: TraceListener? = null,
    public val unsolicitedCalls: Boolean = false,
    public val probing: GatewayProbe? = null,
    public val resolver: Resolver? = null,
    public val refuseWildcards: Boolean = false,
) {
    internal fun toFfi(trustIsTheSystems: Boolean) = FfiOptions(
        authorities = authorities,
        trustIsTheSystems = trustIsTheSystems,
        pins = pins,
        clientCertificate = clientCertificate?.let { FfiCertificate(it.chain, it.key) },
        unsolicitedCalls = unsolicitedCalls,
        refuseWildcards = refuseWildcards,
        probing = probing?.toFfi(),
    )
}

/** A certificate and its private key, which never shows in `toString`. */
public class ClientCertificate(
    /** The certificate, then its chain, in PEM or DER. */
    internal val chain: ByteArray,
    /** The private key in PEM: PKCS#8, PKCS#1 or SEC1. */
    internal val key: ByteArray,
) {
    override fun toString(): String = "ClientCertificate(…)"
}

/** How a gateway is asked for its load. */
public sealed interface GatewayProbe {
    /** By SIP OPTIONS (RFC 3261 section 11). */
    public data object SipOptions : GatewayProbe

    /**
     * By Mizutech's HTTP API `wsload`.
     *
     * @property https whether over HTTPS, with the client's trust
     * @property port the port, if it is not the gateway's own
     */
    public data class WsLoad(val https: Boolean, val port: Int? = null) : GatewayProbe
}

private fun GatewayProbe.toFfi(): FfiProbe = when (this) {
    GatewayProbe.SipOptions -> FfiProbe.SipOptions
    is GatewayProbe.WsLoad -> {
        if (port != null && port !in 1..65535) {
            throw SipWakeException(ErrorKind.INVALID_FIELD, "must be between 1 and 65535", "options.probing.port")
        }
        FfiProbe.WsLoad(https, port?.toUShort())
    }
}

/** Judges servers' certificates instead of the SDK. Pins are checked too. */
public fun interface ServerTrust {
    /**
     * Judges a chain of certificates, the server's own first, for this server name. If it throws, the server is refused, and the reason is
     * in [SipWakeEvent.RegistrationFailed].
     *
     * The SDK checks nothing else in the chain. It always checks the server's name. Called from a thread of the client, which waits: don't
     * call the client from in here.
     */
    public fun verify(chain: List<X509Certificate>, serverName: String)
}

/** Opens payloads that a server encrypts before they pass Google's or Apple's hands. */
public fun interface Decryptor {
    /**
     * Returns the fields inside, under the names of any vendor known here (simplest: `ntype`, `nfrom`, `nfromusername`, `ncallid`, `nmsg`),
     * or null if the payload is not encrypted or cannot be opened. If it throws, that counts as null: the payload is read as it is.
     *
     * Called on the thread of the push, while the operating system waits. Use no network, no lock that is held for long, and do not call
     * the client.
     */
    public fun decrypt(payload: PushPayload): Map<String, String>?
}

/** A push as it came. `toString` does not show its content. */
public sealed interface PushPayload {
    /** The fields of an FCM data message. */
    public class Fields(public val entries: Map<String, String>) : PushPayload {
        override fun toString(): String = "Fields(${entries.keys})"
    }

    /** JSON text. */
    public class Json(public val bytes: ByteArray) : PushPayload {
        override fun toString(): String = "Json(${bytes.size} bytes)"
    }
}

/** Gets every message that is sent or received, one after the other, on its own thread. Exceptions are ignored. */
public fun interface TraceListener {
    /** Takes a message. */
    public fun onMessage(message: TracedMessage)
}

/**
 * A message as it went over the wire, except its secrets: of those their length and last four characters.
 *
 * @property at when
 * @property sent whether we sent it
 * @property flow the number of the connection
 * @property text the message
 */
public data class TracedMessage(val at: Instant, val sent: Boolean, val flow: Long, val text: String)

internal class SafeTrust(private val trust: ServerTrust) : FfiTrust {
    override fun verify(chain: List<ByteArray>, serverName: String): Unit = guarded {
        val factory = CertificateFactory.getInstance("X.509")
        val certificates = chain.map { factory.generateCertificate(ByteArrayInputStream(it)) as X509Certificate }
        trust.verify(certificates, serverName)
    }
}

internal class SafeDecryptor(private val decryptor: Decryptor) : FfiDecryptor {
    override fun decrypt(payload: FfiPayload): Map<String, String>? = guarded {
        val came = when (payload) {
            is FfiPayload.Fields -> PushPayload.Fields(payload.entries)
            is FfiPayload.Json -> PushPayload.Json(payload.bytes)
        }
        decryptor.decrypt(came)?.let(::strings)
    }
}

internal class SafeTrace(private val listener: TraceListener) : FfiTrace {
    override fun onMessage(message: FfiTraced): Unit = guarded {
        val at = Instant.ofEpochMilli(message.atMs.toLong())
        listener.onMessage(TracedMessage(at, message.sent, message.flow.toLong(), message.text))
    }
}
