package dev.sipwake

import java.util.UUID
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import dev.sipwake.ffi.AppState as FfiAppState
import dev.sipwake.ffi.Duty as FfiDuty
import dev.sipwake.ffi.Priority as FfiPriority
import dev.sipwake.ffi.PushAction as FfiAction
import dev.sipwake.ffi.PushHints as FfiHints
import dev.sipwake.ffi.PushKind
import dev.sipwake.ffi.PushPayload as FfiPayload
import dev.sipwake.ffi.parsePush as ffiParsePush
import dev.sipwake.ffi.parsePushBeside as ffiParsePushBeside

/** How a push came to the app. */
public enum class Channel {
    /** FCM on Android: `RemoteMessage.getData()`. */
    FCM_ANDROID,

    /** Apple's VoIP pushes: `PKPushPayload.dictionaryPayload`. */
    PUSH_KIT,

    /** FCM on iOS: the notification's user info. */
    FCM_IOS,

    /** APNs without FCM: the notification's user info. */
    APNS_ALERT,

    /** A browser's service worker. */
    WEB_PUSH,
}

/** The priority of an FCM message. */
public enum class Priority {
    /** `PRIORITY_HIGH`. */
    HIGH,

    /** `PRIORITY_NORMAL`. */
    NORMAL,
}

/** The app's state when the push came. */
public enum class AppState {
    /** Unknown. */
    UNKNOWN,

    /** In the foreground, and the user is looking at it. */
    FOREGROUND,

    /** In the background. */
    BACKGROUND,

    /** This push started it. */
    NOT_RUNNING,
}

/** The vendor whose payload a push carries. */
public enum class Vendor {
    /** Mizutech's server, gateway and SDKs. */
    MIZUTECH,

    /** Flexisip (Linphone). */
    FLEXISIP,

    /** PortSIP PBX. */
    PORT_SIP,

    /** Acrobits: calls without its SIPIS, and messages. */
    ACROBITS,

    /** Twilio Voice. */
    TWILIO,

    /** Telnyx Voice. */
    TELNYX,

    /** Vialer (VoIPGRID). */
    VIALER,

    /** One that this version has no name for. */
    OTHER,
}

/** Why a payload could not be understood. A VoIP push is still a call from an unknown caller. */
public enum class PayloadProblem {
    /** There was nothing in it. */
    EMPTY,

    /** It is not JSON. */
    UNREADABLE,

    /** It is longer than 64 KiB. */
    TOO_LARGE,

    /** It is readable, but it belongs to no vendor that sipwake knows. */
    UNRECOGNISED,

    /** The app takes only sealed payloads, and its decryptor did not open this one. */
    NOT_SEALED,

    /** It is sealed, and no key of this phone opens it. It is for another phone, or somebody changed it. */
    SEALED_FOREIGN,

    /** It is sealed, and cut short or in an unknown form. */
    SEALED_TORN,

    /** It is sealed, and longer than 2,800 bytes. */
    SEALED_TOO_LARGE,

    /** It is sealed, and was opened before. */
    SEALED_REPLAYED,

    /** The sealed content is not a JSON object. */
    SEALED_UNREADABLE,

    /** It is sealed, and the keys cannot be read now, because the user has not unlocked the phone yet or the store fails. */
    SEALED_KEYS_UNREADABLE,
}

/** Why a push asks for nothing. */
public enum class IgnoreReason {
    /** It could not be understood. [PushDetails.problem] says why. */
    NOT_UNDERSTOOD,

    /** It is for a user who is not logged in. */
    LOGGED_OUT,

    /** The user does not want to be disturbed. */
    DO_NOT_DISTURB,

    /** Its call is over. */
    CALL_OVER,

    /** More calls are announced than a client can hold. */
    NO_ROOM,
}

/**
 * What the operating system says about a push besides its content. Leave out what you do not know.
 *
 * @property mustReport `PKVoIPPushMetadata.mustReport` (iOS 26.4 and later). Null means yes
 * @property deliveredPriority `RemoteMessage.getPriority()`
 * @property originalPriority `RemoteMessage.getOriginalPriority()`
 * @property appState the app's state
 */
public data class PushHints(
    val mustReport: Boolean? = null,
    val deliveredPriority: Priority? = null,
    val originalPriority: Priority? = null,
    val appState: AppState? = null,
) {
    internal fun toFfi() = FfiHints(
        mustReport,
        deliveredPriority?.named<FfiPriority>(),
        originalPriority?.named<FfiPriority>(),
        appState?.named<FfiAppState>(),
    )
}

/** What to tell the operating system about a push. Do it at once, on the same thread. */
public sealed interface Duty {
    /** iOS: report an incoming call to CallKit before PushKit's delegate returns. */
    public data object ReportCall : Duty

    /** iOS: report a call to CallKit before PushKit's delegate returns, and end it at once. */
    public data object ReportThenEnd : Duty

    /**
     * Show a notification.
     *
     * @property fullScreen with a full-screen intent, because a foreground service may not be started for this call
     */
    public data class ShowNotification(val fullScreen: Boolean) : Duty

    /** A foreground service may be started for this call. */
    public data object StartForegroundService : Duty

    /** Nothing. */
    public data object None : Duty
}

/**
 * The details of a push. `toString` shows only the length of title and text.
 *
 * @property duty what to tell the operating system, at once and on the same thread
 * @property channel how the push came
 * @property vendor the payload's vendor. Null if no vendor knew the payload
 * @property problem why the payload could not be understood
 * @property account the account that is called, as the payload spells it
 * @property caller the caller's or sender's number or URI, as the payload spells it
 * @property displayName the caller's or sender's name, if it differs from [caller]
 * @property callerLabel the text to show as the caller: the name, or the number or URI, or nothing
 * @property title the title that the server suggests for a notification
 * @property text the text that comes along. For a chat message it is only the first part
 * @property callId the Call-ID of the call or of the chat's MESSAGE, if the payload has it
 * @property uuid the call's UUID. It is the same for a call's push, INVITE and cancel
 * @property downgraded the server sent the push with high priority, but it was delivered with normal priority
 * @property unverified anybody who knows the token can have sent this. The caller is only a claim until the INVITE comes
 */
public data class PushDetails(
    val duty: Duty,
    val channel: Channel,
    val vendor: Vendor?,
    val problem: PayloadProblem?,
    val account: String?,
    val caller: String?,
    val displayName: String?,
    val callerLabel: String?,
    val title: String?,
    val text: String?,
    val callId: String?,
    val uuid: UUID,
    val downgraded: Boolean,
    val unverified: Boolean,
) {
    override fun toString(): String =
        "PushDetails(duty=$duty, channel=$channel, vendor=$vendor, problem=$problem, account=$account, caller=$caller, " +
            "displayName=$displayName, title=${title?.length}, text=${text?.length}, callId=$callId, uuid=$uuid, " +
            "downgraded=$downgraded, unverified=$unverified)"
}

/** The action that a push asks for. */
public sealed interface PushAction {
    /** The details of the push. */
    public val details: PushDetails

    /** What to tell the operating system, at once and on the same thread. */
    public val duty: Duty get() = details.duty

    /** The call's UUID. It is the same for a call's push, INVITE and cancel. */
    public val uuid: UUID get() = details.uuid

    /**
     * A call is about to come.
     *
     * @property video the server announced video
     * @property timeLeft how long the client waits for its INVITE
     */
    public data class IncomingCall(
        override val details: PushDetails,
        val video: Boolean,
        val timeLeft: Duration,
    ) : PushAction

    /**
     * A message is waiting.
     *
     * @property mimeType its MIME type, if the payload has it
     */
    public data class Chat(override val details: PushDetails, val mimeType: String?) : PushAction

    /** A call that was announced is over. */
    public data class Cancel(override val details: PushDetails) : PushAction

    /**
     * Something that the app and its server agreed on. The app reads the payload itself.
     *
     * @property type the type as it was sent
     */
    public data class Custom(override val details: PushDetails, val type: String) : PushAction

    /** Register again, silently. The client does it. */
    public data class RefreshBinding(override val details: PushDetails) : PushAction

    /**
     * Nothing.
     *
     * @property reason why
     */
    public data class Ignore(override val details: PushDetails, val reason: IgnoreReason) : PushAction
}

/**
 * Says what a push means, without a client and without knowing who is logged in. If there is a client, use [SipWakeClient.push].
 *
 * It never throws. Any payload gives an action.
 */
public fun parsePush(
    data: Map<String, String>,
    channel: Channel = Channel.FCM_ANDROID,
    hints: PushHints = PushHints(),
): PushAction = ffiParsePush(fields(data), channel.named(), hints.toFfi(), null).toAction()

/** The same for a payload that is JSON text. */
public fun parsePush(json: ByteArray, channel: Channel, hints: PushHints = PushHints()): PushAction =
    ffiParsePush(FfiPayload.Json(json), channel.named(), hints.toFfi(), null).toAction()

/** The same, but the app's own decryptor opens the payload first. */
public fun parsePush(
    decryptor: Decryptor,
    data: Map<String, String>,
    channel: Channel = Channel.FCM_ANDROID,
    hints: PushHints = PushHints(),
): PushAction = ffiParsePush(fields(data), channel.named(), hints.toFfi(), SafeDecryptor(decryptor)).toAction()

/** The same for a payload that is JSON text. The app's own decryptor opens it first. */
public fun parsePush(
    decryptor: Decryptor,
    json: ByteArray,
    channel: Channel,
    hints: PushHints = PushHints(),
): PushAction = ffiParsePush(FfiPayload.Json(json), channel.named(), hints.toFfi(), SafeDecryptor(decryptor)).toAction()

/**
 * The same in a process that has no client. The keys in the [store] open a sealed push, and the store says who logged out or does
 * not want to be disturbed. It only reads the store. A store that cannot be read silences nobody.
 */
public fun parsePush(
    store: StateStore,
    data: Map<String, String>,
    channel: Channel = Channel.FCM_ANDROID,
    hints: PushHints = PushHints(),
): PushAction = ffiParsePushBeside(fields(data), channel.named(), hints.toFfi(), null, SafeStore(store)).toAction()

/**
 * The public part of this phone's key for sealed pushes, see [SipWakeClient.pushKey].
 *
 * @property p256dh the phone's public key, as `p256dh` of a web push subscription: 65 bytes in base64url without padding
 * @property auth the auth secret, as `auth` of a web push subscription: 16 bytes in base64url without padding
 */
public class PushKey(public val p256dh: String, public val auth: String) {
    override fun equals(other: Any?): Boolean = other is PushKey && other.p256dh == p256dh && other.auth == auth

    override fun hashCode(): Int = p256dh.hashCode()

    /** Does not show the auth secret. */
    override fun toString(): String = "PushKey($p256dh)"
}

/** Maps from Java can have values that are null, not strings, or half a character. */
internal fun strings(data: Map<String, String>): Map<String, String> {
    val entries = HashMap<String, String>()
    for ((name: Any?, value: Any?) in data as Map<*, *>) {
        if (name != null && value != null) entries[wellFormed(name)] = wellFormed(value)
    }
    return entries
}

internal fun fields(data: Map<String, String>): FfiPayload = FfiPayload.Fields(strings(data))

/** UTF-8 cannot hold a surrogate without its other half. Java's encoder writes a question mark instead. */
private fun wellFormed(value: Any): String = value.toString().encodeToByteArray().decodeToString()

internal fun FfiAction.toAction(): PushAction {
    val details = PushDetails(
        duty = when (val duty = duty) {
            FfiDuty.ReportCall -> Duty.ReportCall
            FfiDuty.ReportThenEnd -> Duty.ReportThenEnd
            is FfiDuty.ShowNotification -> Duty.ShowNotification(duty.fullScreen)
            FfiDuty.StartForegroundService -> Duty.StartForegroundService
            FfiDuty.Nothing -> Duty.None
        },
        channel = channel.named(),
        vendor = vendor?.named<Vendor>(),
        problem = problem?.named<PayloadProblem>(),
        account = account,
        caller = caller,
        displayName = displayName,
        callerLabel = callerLabel,
        title = title,
        text = text,
        callId = callId,
        uuid = UUID.fromString(uuid),
        downgraded = downgraded,
        unverified = unverified,
    )
    return when (val kind = kind) {
        is PushKind.IncomingCall ->
            PushAction.IncomingCall(details, kind.video, (timeLeftMs ?: 0u).toLong().milliseconds)
        is PushKind.Chat -> PushAction.Chat(details, kind.mimeType)
        PushKind.Cancel -> PushAction.Cancel(details)
        is PushKind.Custom -> PushAction.Custom(details, kind.ntype)
        PushKind.RefreshBinding -> PushAction.RefreshBinding(details)
        is PushKind.Ignore -> PushAction.Ignore(details, kind.reason.named())
    }
}
