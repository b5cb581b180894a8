package dev.sipwake

import kotlin.time.Duration
import kotlin.time.Duration.Companion.days
import dev.sipwake.ffi.AccountConfig as FfiAccount
import dev.sipwake.ffi.AccountSetup as FfiSetup
import dev.sipwake.ffi.Credentials as FfiCredentials
import dev.sipwake.ffi.DigestAlgorithm as FfiDigestAlgorithm
import dev.sipwake.ffi.RealmHa1 as FfiRealmHa1
import dev.sipwake.ffi.Transport as FfiTransport
import dev.sipwake.ffi.UpperServer as FfiUpperServer
import dev.sipwake.ffi.accountId as ffiAccountId

/** The id of an account in every client and event: 16 hexadecimal digits, the same across restarts. */
@JvmInline
public value class AccountId(public val value: String) {
    override fun toString(): String = value
}

/** The transport that a flow runs on. */
public enum class Transport {
    /** RFC 3261 over UDP. */
    UDP,

    /** RFC 3261 over TCP. */
    TCP,

    /** RFC 3261 over TLS. */
    TLS,

    /** RFC 7118 over WebSocket. */
    WS,

    /** RFC 7118 over WebSocket and TLS. */
    WSS,
}

/** The hash that a digest challenge asks for (RFC 7616 section 6.1). */
public enum class DigestAlgorithm {
    /** `MD5`. */
    MD5,

    /** `SHA-256`. */
    SHA256,

    /** `SHA-512-256`. */
    SHA512_SLASH256,
}

/**
 * Mizutech's `X-Sy.*` request headers: which SIP server is behind the gateway.
 *
 * @property server `X-Sy.Uppersrv`: the target SIP server
 * @property proxy `X-Sy.Upperproxy`: its proxy
 * @property domain `X-Sy.Uppersrvd`: its logical domain when the address differs
 */
public data class UpperServer(val server: String? = null, val proxy: String? = null, val domain: String? = null)

/** What the client did with a token. */
public enum class TokenOutcome {
    /** It is stored, and it is sent if it is new. */
    TAKEN,

    /** It is sent if it is new, but the store is shut or fails. [SipWakeEvent.Durable] tells when it is stored. */
    NOT_YET_DURABLE,

    /** It was empty or `null`. If there is a good token, it stays. */
    IGNORED,
}

/** Whether a command of the app survives the end of the process. */
public enum class Kept {
    /** It is stored. */
    DURABLE,

    /**
     * The command is carried out, but the store is shut or fails, so a kill now would lose it. [SipWakeEvent.Durable] tells when it
     * is stored.
     */
    NOT_YET_DURABLE,
}

/** How the user proves who they are. It never shows in `toString`. */
public sealed interface Credentials {
    /** The password. It is never logged and never stored. */
    public class Password(public val password: String) : Credentials {
        override fun toString(): String = "Password(…)"
        override fun equals(other: Any?): Boolean = other is Password && other.password == password
        override fun hashCode(): Int = password.hashCode()
    }

    /** Hashes of the password: each answers one realm and one hash. */
    public data class Hashes(val hashes: List<RealmHa1>) : Credentials
}

/** `H(username ":" realm ":" password)` for one realm. In that realm it works like the password; elsewhere it is useless. */
public class RealmHa1(
    /** The realm that went into the hash. It is compared exactly. */
    public val realm: String,
    /** The hash. */
    public val algorithm: DigestAlgorithm,
    /** Its hexadecimal digits. */
    public val ha1: String,
) {
    override fun toString(): String = "RealmHa1($realm, $algorithm, …)"
    override fun equals(other: Any?): Boolean =
        other is RealmHa1 && other.realm == realm && other.algorithm == algorithm && other.ha1 == ha1

    override fun hashCode(): Int = realm.hashCode() * 31 + ha1.hashCode()
}

/**
 * The settings of an account. The client checks them when it gets them.
 *
 * @property aor the address of record, `sip:alice@example.com` or `alice@example.com`
 * @property credentials how the user proves who they are
 * @property displayName the name shown to others
 * @property authUser the user name for the digest. The default is the AOR's user part
 * @property registrar the registrar's URI. The default is the AOR's domain
 * @property outboundProxy a proxy that every request is sent to (RFC 3261 section 8.1.2), as a URI
 * @property gateways push gateways in order of preference, as URIs or `host:port`
 * @property upper the server behind the gateway
 * @property realm the realm of the upper server, for `X-PIID`. If it is null, the client learns it from the challenge
 * @property transport the transport, if no URI names one
 * @property expires the lifetime to ask for, at least one second. The default is a day, because a phone can sleep for hours
 * @property userAgent the `User-Agent` header. Null leaves it out
 * @property instanceId the instance id of RFC 5626, a URN such as `urn:uuid:…`, always the same for one installation
 * @property keepAlive the time between keep-alives on an idle flow (RFC 5626 section 3.5). Null sends none
 * @property allowCleartextSecrets allows `X-PIID`, which works like the password, over a transport that others can read
 * @property minimumDigest the weakest hash that a challenge may ask for. Null accepts any hash, except on a network where the same
 *   realm asked for a stronger one before
 * @property requireServerProof takes a 2xx for a success only if the server proves that it knows the password (`rspauth`)
 * @property ignoreChallengesInCalls answers no challenge to a request inside a call, because it may come from the caller
 * @property sendPiid whether `X-PIID` is sent. Null sends it if a gateway or a server by Mizutech is configured: by a mode, by
 *   [upper], or by [gateways] with push settings that name the `X-MPUSH` dialect
 * @property sendPushKey sends this phone's key for sealed pushes, as `X-Push-Key`, in each REGISTER that binds a token. It goes out
 *   only over TLS and to a host in this configuration, never to a redirect's target. Every hop that sees the key can forge sealed
 *   pushes
 * @property sealedPushesOnly trusts the content of a push only if the app's decryptor or the phone's own key opened it. Any other
 *   push registers like one without content, and announces and ends no call
 * @property followObservedAddress registers the address that the server saw (RFC 3581) if it differs from ours. This is for servers
 *   that send calls to the Contact itself. It does nothing for WebSocket, whose Contact is not an address
 */
public data class AccountConfig(
    val aor: String,
    val credentials: Credentials,
    val displayName: String? = null,
    val authUser: String? = null,
    val registrar: String? = null,
    val outboundProxy: String? = null,
    val gateways: List<String> = emptyList(),
    val upper: UpperServer? = null,
    val realm: String? = null,
    val transport: Transport? = null,
    val expires: Duration = 1.days,
    val userAgent: String? = null,
    val instanceId: String? = null,
    val keepAlive: Duration? = null,
    val allowCleartextSecrets: Boolean = false,
    val minimumDigest: DigestAlgorithm? = null,
    val requireServerProof: Boolean = false,
    val ignoreChallengesInCalls: Boolean = false,
    val sendPiid: Boolean? = null,
    val sendPushKey: Boolean = false,
    val sealedPushesOnly: Boolean = false,
    val followObservedAddress: Boolean = false,
) {
    public constructor(aor: String, password: String) : this(aor, Credentials.Password(password))

    /**
     * Returns the account's id, which depends only on its AOR and registrar.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] if the account cannot be used
     */
    public fun id(): AccountId = translating { AccountId(ffiAccountId(toFfi())) }

    internal fun toFfi() = FfiAccount(
        aor = aor,
        credentials = when (credentials) {
            is Credentials.Password -> FfiCredentials.Password(credentials.password)
            is Credentials.Hashes ->
                FfiCredentials.Hashes(credentials.hashes.map { FfiRealmHa1(it.realm, it.algorithm.named(), it.ha1) })
        },
        displayName = displayName,
        authUser = authUser,
        registrar = registrar,
        outboundProxy = outboundProxy,
        gateways = gateways,
        upper = upper?.let { FfiUpperServer(it.server, it.proxy, it.domain) },
        realm = realm,
        transport = transport?.named<FfiTransport>(),
        expiresSeconds = seconds(expires),
        userAgent = userAgent,
        instanceId = instanceId,
        keepAliveSeconds = keepAlive?.let(::seconds),
        allowCleartextSecrets = allowCleartextSecrets,
        minimumDigest = minimumDigest?.named<FfiDigestAlgorithm>(),
        requireServerProof = requireServerProof,
        ignoreChallengesInCalls = ignoreChallengesInCalls,
        sendPiid = sendPiid,
        sendPushKey = sendPushKey,
        sealedPushesOnly = sealedPushesOnly,
        followObservedAddress = followObservedAddress,
    )
}

internal fun FfiCredentials.toCredentials(): Credentials = when (this) {
    is FfiCredentials.Password -> Credentials.Password(password)
    is FfiCredentials.Hashes -> Credentials.Hashes(hashes.map { RealmHa1(it.realm, it.algorithm.named(), it.ha1) })
}

private fun seconds(duration: Duration): UInt = duration.inWholeSeconds.coerceIn(0, UInt.MAX_VALUE.toLong()).toUInt()

/**
 * An account with its push settings.
 *
 * @property account the account
 * @property push its push settings. Without them it registers without push
 * @property mode one of Mizutech's push modes. It sets the dialects and, for a gateway, also where the account registers
 */
public data class AccountSetup(
    val account: AccountConfig,
    val push: PushConfig? = null,
    val mode: PushMode? = null,
) {
    internal fun toFfi() = FfiSetup(account.toFfi(), push?.toFfi(), mode?.toFfi())
}
