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
 * Options of a client besides its store and its accounts. All of them may be left out.
 *
 * If neither [serverTrust] nor [authorities] is given, Android judges the servers' certificates by the app's network security
 * configuration. On any other JVM, Mozilla's list of authorities decides.
 *
 * @property serverTrust judges the servers' certificates
 * @property authorities trusts only these authorities (PEM, or one in DER). Do not combine it with [serverTrust]
 * @property pins also demands one of these public keys, as `sha256/BASE64` (RFC 7469 section 2.4)
 * @property clientCertificate the certificate for servers that ask for one
 * @property decryptor opens payloads before they are read. See also [AccountConfig.sealedPushesOnly]
 * @property trace gets every message that is sent or received
 * @property unsolicitedCalls whether a call may ring if it comes over UDP from another address than the registrar's
 * @property probing how to probe the gateways of accounts that list several. By default they are tried in their order
 * @property refuseWildcards refuses a certificate that names its server only by a wildcard (RFC 5922 section 7.2)
 * @property resolver looks up names. By default the system looks up addresses, and from Android 10 on `DnsResolver` looks up SRV
 *   and NAPTR records
 * @property recordForReplay records what enters the client from its start, up to so many bytes (at most 33,554,432), for
 *   [SipWakeClient.recording]. Null records nothing. **Ask the user first:** a recording shows who called. It has no password,
 *   digest, token, `X-PIID`, key or message text. A library that was built without replay, as in the packages, refuses it
 *   ([ErrorKind.UNAVAILABLE])
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
    public val recordForReplay: Int? = null,
) {
    internal fun toFfi(trustIsTheSystems: Boolean) = FfiOptions(
        authorities = authorities,
        trustIsTheSystems = trustIsTheSystems,
        pins = pins,
        clientCertificate = clientCertificate?.let { FfiCertificate(it.chain, it.key) },
        unsolicitedCalls = unsolicitedCalls,
        refuseWildcards = refuseWildcards,
        probing = probing?.toFfi(),
        recordForReplay = recordForReplay?.toLong(),
    )
}

/** A certificate and its private key. `toString` never shows the key. */
public class ClientCertificate(
    /** The certificate, then its chain, in PEM or DER. */
    internal val chain: ByteArray,
    /** The private key in PEM: PKCS#8, PKCS#1 or SEC1. */
    internal val key: ByteArray,
) {
    override fun toString(): String = "ClientCertificate(…)"
}

/** The ways to ask a gateway for its load. */
public sealed interface GatewayProbe {
    /** By SIP OPTIONS (RFC 3261 section 11). */
    public data object SipOptions : GatewayProbe

    /**
     * By Mizutech's HTTP API `wsload`.
     *
     * @property https whether to use HTTPS, with the client's trust
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

/** Judges servers' certificates instead of the SDK. Pins are checked, too. */
public fun interface ServerTrust {
    /**
     * Judges a chain of certificates, the server's own first, for this server name. If it throws, the server is refused, and
     * [SipWakeEvent.RegistrationFailed] has the reason.
     *
     * The SDK checks nothing else in the chain. It always checks the server's name. A thread of the client calls this and waits.
     * Don't call the client from in here.
     */
    public fun verify(chain: List<X509Certificate>, serverName: String)
}

/** Opens payloads that a server encrypts before Google or Apple carries them. */
public fun interface Decryptor {
    /**
     * Returns the fields inside, under the names of any vendor that sipwake knows (simplest: `ntype`, `nfrom`, `nfromusername`,
     * `ncallid`, `nmsg`). Returns null if the payload is not encrypted or cannot be opened. An exception counts as null: the
     * payload is read as it is.
     *
     * It is called on the thread of the push, while the operating system waits. Use no network, take no lock that somebody holds
     * for long, and do not call the client.
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
 * A message as it went over the wire, but without its secrets: it shows only their length and last four characters.
 *
 * @property at the time
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
