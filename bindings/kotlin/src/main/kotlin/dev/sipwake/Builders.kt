package dev.sipwake

import kotlin.time.Duration.Companion.seconds

// Java has neither named arguments nor Kotlin's Duration, and some binaries must outlive a version of the SDK
// (docs/stability.md). Constructors get new parameters at their end. Builders get new functions.

/**
 * Builds an [AccountSetup]. Each function returns the builder. The defaults are those of [AccountConfig].
 *
 * @param aor the address of record, `sip:alice@example.com` or `alice@example.com`
 * @param credentials how the user proves who they are
 */
public class AccountBuilder(aor: String, credentials: Credentials) {
    private var account = AccountConfig(aor, credentials)
    private var push: PushConfig? = null
    private var mode: PushMode? = null

    /** The same with a password. */
    public constructor(aor: String, password: String) : this(aor, Credentials.Password(password))

    /** See [AccountConfig.displayName]. */
    public fun displayName(name: String): AccountBuilder = set { account = account.copy(displayName = name) }

    /** See [AccountConfig.authUser]. */
    public fun authUser(user: String): AccountBuilder = set { account = account.copy(authUser = user) }

    /** See [AccountConfig.registrar]. */
    public fun registrar(uri: String): AccountBuilder = set { account = account.copy(registrar = uri) }

    /** See [AccountConfig.outboundProxy]. */
    public fun outboundProxy(uri: String): AccountBuilder = set { account = account.copy(outboundProxy = uri) }

    /** See [AccountConfig.gateways]. */
    public fun gateways(vararg gateways: String): AccountBuilder = set { account = account.copy(gateways = gateways.toList()) }

    /** See [AccountConfig.upper]. */
    public fun upper(server: UpperServer): AccountBuilder = set { account = account.copy(upper = server) }

    /** See [AccountConfig.realm]. */
    public fun realm(realm: String): AccountBuilder = set { account = account.copy(realm = realm) }

    /** See [AccountConfig.transport]. */
    public fun transport(transport: Transport): AccountBuilder = set { account = account.copy(transport = transport) }

    /** See [AccountConfig.expires], in seconds. */
    public fun expires(seconds: Long): AccountBuilder = set { account = account.copy(expires = seconds.seconds) }

    /** See [AccountConfig.userAgent]. */
    public fun userAgent(userAgent: String): AccountBuilder = set { account = account.copy(userAgent = userAgent) }

    /** See [AccountConfig.instanceId]. */
    public fun instanceId(urn: String): AccountBuilder = set { account = account.copy(instanceId = urn) }

    /** See [AccountConfig.keepAlive], in seconds. */
    public fun keepAlive(seconds: Long): AccountBuilder = set { account = account.copy(keepAlive = seconds.seconds) }

    /** See [AccountConfig.allowCleartextSecrets]. */
    public fun allowCleartextSecrets(allow: Boolean): AccountBuilder = set { account = account.copy(allowCleartextSecrets = allow) }

    /** See [AccountConfig.minimumDigest]. */
    public fun minimumDigest(algorithm: DigestAlgorithm): AccountBuilder = set { account = account.copy(minimumDigest = algorithm) }

    /** See [AccountConfig.requireServerProof]. */
    public fun requireServerProof(require: Boolean): AccountBuilder = set { account = account.copy(requireServerProof = require) }

    /** See [AccountConfig.ignoreChallengesInCalls]. */
    public fun ignoreChallengesInCalls(ignore: Boolean): AccountBuilder = set { account = account.copy(ignoreChallengesInCalls = ignore) }

    /** See [AccountConfig.sendPiid]. */
    public fun sendPiid(send: Boolean): AccountBuilder = set { account = account.copy(sendPiid = send) }

    /** See [AccountConfig.followObservedAddress]. */
    public fun followObservedAddress(follow: Boolean): AccountBuilder = set { account = account.copy(followObservedAddress = follow) }

    /** See [AccountConfig.sendPushKey]. */
    public fun sendPushKey(send: Boolean): AccountBuilder = set { account = account.copy(sendPushKey = send) }

    /** See [AccountConfig.sealedPushesOnly]. */
    public fun sealedPushesOnly(only: Boolean): AccountBuilder = set { account = account.copy(sealedPushesOnly = only) }

    /** See [PushConfig.provider] and [PushConfig.packageName]. The other push settings stay. */
    public fun push(provider: Provider, packageName: String): AccountBuilder = set {
        push = push?.copy(provider = provider, packageName = packageName) ?: PushConfig(provider, packageName)
    }

    /** Sets all push settings. */
    public fun push(config: PushConfig): AccountBuilder = set { push = config }

    /** See [AccountSetup.mode]. */
    public fun mode(mode: PushMode): AccountBuilder = set { this.mode = mode }

    /** Returns the account. The client checks it when it gets it. */
    public fun build(): AccountSetup = AccountSetup(account, push, mode)

    private inline fun set(change: () -> Unit): AccountBuilder {
        change()
        return this
    }
}

/** Builds [ClientOptions]. Each function returns the builder. */
public class OptionsBuilder {
    private var serverTrust: ServerTrust? = null
    private var authorities: ByteArray? = null
    private var pins = emptyList<String>()
    private var clientCertificate: ClientCertificate? = null
    private var decryptor: Decryptor? = null
    private var trace: TraceListener? = null
    private var unsolicitedCalls = false
    private var probing: GatewayProbe? = null
    private var resolver: Resolver? = null
    private var refuseWildcards = false
    private var recordForReplay: Int? = null

    /** See [ClientOptions.serverTrust]. */
    public fun serverTrust(trust: ServerTrust): OptionsBuilder = set { serverTrust = trust }

    /** See [ClientOptions.authorities]. */
    public fun authorities(certificates: ByteArray): OptionsBuilder = set { authorities = certificates }

    /** See [ClientOptions.pins]. */
    public fun pins(vararg pins: String): OptionsBuilder = set { this.pins = pins.toList() }

    /** See [ClientOptions.clientCertificate]. */
    public fun clientCertificate(certificate: ClientCertificate): OptionsBuilder = set { clientCertificate = certificate }

    /** See [ClientOptions.decryptor]. */
    public fun decryptor(decryptor: Decryptor): OptionsBuilder = set { this.decryptor = decryptor }

    /** See [ClientOptions.trace]. */
    public fun trace(listener: TraceListener): OptionsBuilder = set { trace = listener }

    /** See [ClientOptions.unsolicitedCalls]. */
    public fun unsolicitedCalls(may: Boolean): OptionsBuilder = set { unsolicitedCalls = may }

    /** See [ClientOptions.probing]. */
    public fun probing(probe: GatewayProbe): OptionsBuilder = set { probing = probe }

    /** See [ClientOptions.resolver]. */
    public fun resolver(resolver: Resolver): OptionsBuilder = set { this.resolver = resolver }

    /** See [ClientOptions.refuseWildcards]. */
    public fun refuseWildcards(refuse: Boolean): OptionsBuilder = set { refuseWildcards = refuse }

    /** See [ClientOptions.recordForReplay]. */
    public fun recordForReplay(cap: Int): OptionsBuilder = set { recordForReplay = cap }

    /** Returns the options. They are checked when the client gets them. */
    public fun build(): ClientOptions = ClientOptions(
        serverTrust, authorities, pins, clientCertificate, decryptor, trace, unsolicitedCalls, probing, resolver, refuseWildcards,
        recordForReplay,
    )

    private inline fun set(change: () -> Unit): OptionsBuilder {
        change()
        return this
    }
}

/**
 * Builds a [PushConfig], for [AccountBuilder.push]. Each function returns the builder. Settings that you leave out are as in
 * [PushConfig].
 *
 * @param provider who delivers
 * @param packageName what the server knows the app by
 */
public class PushBuilder(provider: Provider, packageName: String) {
    private var push = PushConfig(provider, packageName)

    /** See [PushConfig.dialects]. */
    public fun dialects(vararg dialects: Dialect): PushBuilder = set { push.copy(dialects = dialects.toList()) }

    /** See [PushConfig.environment]. */
    public fun environment(environment: Environment): PushBuilder = set { push.copy(environment = environment) }

    /** See [PushConfig.teamId]. */
    public fun teamId(id: String): PushBuilder = set { push.copy(teamId = id) }

    /** See [PushConfig.pnParam]. */
    public fun pnParam(param: String): PushBuilder = set { push.copy(pnParam = param) }

    /** See [PushConfig.wakesItself]. */
    public fun wakesItself(wakes: Boolean): PushBuilder = set { push.copy(wakesItself = wakes) }

    /** See [PushConfig.removal]. */
    public fun removal(removal: Removal): PushBuilder = set { push.copy(removal = removal) }

    /** See [PushConfig.pushCalls]. */
    public fun pushCalls(calls: Boolean): PushBuilder = set { push.copy(pushCalls = calls) }

    /** See [PushConfig.pushMessages]. */
    public fun pushMessages(messages: Boolean): PushBuilder = set { push.copy(pushMessages = messages) }

    /** See [PushConfig.linphoneParams]. */
    public fun linphoneParams(params: Map<String, String>): PushBuilder = set { push.copy(linphoneParams = params) }

    /** Returns the settings. The client checks them when it gets them. */
    public fun build(): PushConfig = push

    private inline fun set(change: () -> PushConfig): PushBuilder {
        push = change()
        return this
    }
}

/** Builds a [CallPolicy]. Each function returns the builder. Settings that you leave out are as in [CallPolicy]. */
public class CallPolicyBuilder {
    private var policy = CallPolicy()

    /** See [CallPolicy.window], in seconds. */
    public fun window(seconds: Long): CallPolicyBuilder = set { policy.copy(window = seconds.seconds) }

    /** See [CallPolicy.ringLimit], in seconds. */
    public fun ringLimit(seconds: Long): CallPolicyBuilder = set { policy.copy(ringLimit = seconds.seconds) }

    /** See [CallPolicy.midCallWakeups]. */
    public fun midCallWakeups(wake: Boolean): CallPolicyBuilder = set { policy.copy(midCallWakeups = wake) }

    /** See [CallPolicy.sessionProgress]. */
    public fun sessionProgress(progress: Boolean): CallPolicyBuilder = set { policy.copy(sessionProgress = progress) }

    /** See [CallPolicy.reconfirm]. */
    public fun reconfirm(again: Boolean): CallPolicyBuilder = set { policy.copy(reconfirm = again) }

    /** Returns the policy. */
    public fun build(): CallPolicy = policy

    private inline fun set(change: () -> CallPolicy): CallPolicyBuilder {
        policy = change()
        return this
    }
}
