package dev.sipwake

import dev.sipwake.ffi.Environment as FfiEnvironment
import dev.sipwake.ffi.NamedValue
import dev.sipwake.ffi.Provider as FfiProvider
import dev.sipwake.ffi.PushConfig as FfiPushConfig
import dev.sipwake.ffi.PushMode as FfiPushMode
import dev.sipwake.ffi.Removal as FfiRemoval

/** The push services. */
public sealed interface Provider {
    /** Apple's push service, or PushKit for calls. */
    public data object Apns : Provider

    /** Firebase Cloud Messaging on Android. */
    public data object Fcm : Provider

    /** Firebase Cloud Messaging on iOS. */
    public data object FcmOnIos : Provider

    /** Web push (RFC 8030). */
    public data object WebPush : Provider

    /** Any other provider, by its name in `pn-provider`. */
    public data class Other(val name: String) : Provider
}

/** Which of APNs' two environments a token belongs to. A sandbox token fails in production, and the reverse. */
public enum class Environment {
    /** The server's own setting decides. */
    SERVER_DEFAULT,

    /** Apps run from Xcode. */
    SANDBOX,

    /** TestFlight and the App Store. */
    PRODUCTION,
}

/** A way to tell the server where to push. Several can be used together. */
public enum class Dialect {
    /** Mizutech's `X-MPUSH` and `X-PIID` headers. */
    X_MPUSH,

    /** RFC 8599's `pn-*` Contact URI parameters. */
    RFC8599,

    /** Linphone's double-token form of RFC 8599. */
    LINPHONE,

    /** PortSIP's `X-Push` header. */
    PORT_SIP,

    /** PortSIP PBX 12, whose header is called `x-p-push`. */
    PORT_SIP_PBX12,

    /** Older PortSIP, whose header is called `portsip-push`. */
    PORT_SIP_OLD,

    /** ABTO's `push-token-*` Contact header parameters. */
    ABTO,

    /** `app-id;pn-type;pn-tok` as Contact URI parameters (Flexisip before RFC 8599). */
    APP_ID_IN_URI,

    /** `app-id;pn-type;pn-tok` as Contact header parameters (Kazoo). */
    APP_ID_IN_HEADER,
}

/** How RFC 8599 removes a binding. Servers differ here. */
public enum class Removal {
    /** The exact Contact that was bound, with `Expires: 0`. Every registrar finds it, and OpenSIPS finds nothing else. */
    SAME_BINDING,

    /** As in RFC 8599 section 4.1.2: without `pn-prid`. */
    WITHOUT_PRID,

    /** Mizutech: `pn-prid=null`. */
    NULL_PRID,
}

/** How push is reached, by the names that Mizutech's SDK gives its modes. */
public sealed interface PushMode {
    /** -1 and 1: try the modes that the server understands. */
    public data object Auto : PushMode

    /** 0: no push. */
    public data object Disabled : PushMode

    /** 2: the SIP server itself understands `X-MPUSH`. */
    public data object Direct : PushMode

    /** 3: through a push gateway, given as `host:port` or URI. */
    public data class Gateway(val address: String) : PushMode

    /** 3, with the gateway that Mizutech runs. */
    public data object MizutechGateway : PushMode
}

internal fun PushMode.toFfi(): FfiPushMode = when (this) {
    PushMode.Auto -> FfiPushMode.Auto
    PushMode.Disabled -> FfiPushMode.Disabled
    PushMode.Direct -> FfiPushMode.Direct
    is PushMode.Gateway -> FfiPushMode.Gateway(address)
    PushMode.MizutechGateway -> FfiPushMode.MizutechGateway
}

/**
 * The push settings of an app. The client checks them when it gets them.
 *
 * @property provider the push service
 * @property packageName the server's name for the app: FCM project id, project number or package name, or the Apple bundle id
 * @property dialects the dialects to use. The default is RFC 8599 and `X-MPUSH` together, then the one that the server understands
 * @property environment sandbox or production. By default the server uses its own setting
 * @property teamId Apple's team id. With it, `pn-param` is `TEAM.BUNDLE.voip` (RFC 8599 section 14.5)
 * @property pnParam the whole `pn-param`, if the server wants another one than these properties give
 * @property wakesItself the app can wake itself to refresh its binding. Sends `+sip.pnsreg` (RFC 8599 section 4.1.4)
 * @property removal how to remove an RFC 8599 binding. The default is the exact Contact that was bound
 * @property pushCalls PortSIP: push calls
 * @property pushMessages PortSIP: push messages
 * @property linphoneParams Linphone: further Contact URI parameters, such as `pn-silent`, `pn-timeout`, `pn-call-str`
 */
public data class PushConfig(
    val provider: Provider,
    val packageName: String,
    val dialects: List<Dialect>? = null,
    val environment: Environment? = null,
    val teamId: String? = null,
    val pnParam: String? = null,
    val wakesItself: Boolean = false,
    val removal: Removal? = null,
    val pushCalls: Boolean = true,
    val pushMessages: Boolean = true,
    val linphoneParams: Map<String, String> = emptyMap(),
) {
    internal fun toFfi() = FfiPushConfig(
        provider = when (provider) {
            Provider.Apns -> FfiProvider.Apns
            Provider.Fcm -> FfiProvider.Fcm
            Provider.FcmOnIos -> FfiProvider.FcmOnIos
            Provider.WebPush -> FfiProvider.WebPush
            is Provider.Other -> FfiProvider.Other(provider.name)
        },
        `package` = packageName,
        dialects = dialects?.map { it.named() },
        environment = environment?.named<FfiEnvironment>(),
        teamId = teamId,
        pnParam = pnParam,
        wakesItself = wakesItself,
        removal = removal?.named<FfiRemoval>(),
        pushCalls = pushCalls,
        pushMessages = pushMessages,
        linphoneParams = linphoneParams.map { (name, value) -> NamedValue(name, value) },
    )
}
