package dev.sipwake

import dev.sipwake.ffi.RegisterTags as FfiTags
import dev.sipwake.ffi.TagsBinding as FfiBinding
import dev.sipwake.ffi.TagsCompanion as FfiCompanion

/** One parameter with or without a value. `toString` does not show the value, which may be a token. */
public data class Tag(val name: String, val value: String?) {
    override fun toString(): String = if (value == null) name else "$name=…"
}

/**
 * What a REGISTER must carry so that the server knows where to push. `toString` shows no token.
 *
 * @property headers header fields, such as `X-MPUSH`
 * @property uriParams parameters of the Contact URI, inside `<` and `>`, such as `pn-prid`
 * @property contactParams parameters of the Contact header, after `>`, such as `+sip.pnsreg`
 * @property uriParamsText the Contact URI's parameters as text: `;pn-provider=fcm;pn-prid=…`
 * @property contactParamsText the Contact header's parameters as text: `;+sip.pnsreg`
 */
public data class RegisterTags(
    val headers: List<Tag>,
    val uriParams: List<Tag>,
    val contactParams: List<Tag>,
    val uriParamsText: String,
    val contactParamsText: String,
) {
    override fun toString(): String = "RegisterTags($headers, $uriParams, $contactParams)"
}

/** What a REGISTER says about the push binding. */
public sealed interface TagsBinding {
    /** Push to this token. Without a token, the REGISTER says nothing about push. */
    public class Token(internal val token: String?, internal val alert: String? = null) : TagsBinding

    /** Stop pushing, but stay registered. */
    public data object Unbound : TagsBinding

    /** Stop pushing, and forget the Contact that was bound with this token. */
    public class LoggedOut(internal val token: String? = null, internal val alert: String? = null) : TagsBinding

    /** Ask whether the server supports this provider or, if it is null, which ones it supports (RFC 8599 section 4.1.5). */
    public data class Query(val provider: String? = null) : TagsBinding
}

/**
 * Writes the tags of the push dialects and reads the server's verdict, for another SIP stack. It opens no socket.
 *
 * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for settings that cannot be used
 */
public class TagsCompanion(push: PushConfig) : AutoCloseable {
    private val ffi = translating { FfiCompanion(push.toFfi()) }

    /**
     * Returns what every REGISTER must carry: the first one, each refresh and each retry with credentials.
     *
     * @throws SipWakeException of the kind [ErrorKind.INVALID_FIELD] for a token of the wrong shape
     */
    public fun tags(binding: TagsBinding): RegisterTags = translating {
        ffi.tags(
            when (binding) {
                is TagsBinding.Token -> FfiBinding.Token(binding.token, binding.alert)
                TagsBinding.Unbound -> FfiBinding.Unbound
                is TagsBinding.LoggedOut -> FfiBinding.LoggedOut(binding.token, binding.alert)
                is TagsBinding.Query -> FfiBinding.Query(binding.provider)
            },
        ).toTags()
    }

    /** Returns what a server's response to a REGISTER with these tags says about push. */
    public fun verdict(status: Int, headers: List<Pair<String, String>>): Verdict = translating {
        ffi.verdict(statusOf(status), named(headers)).toVerdict()
    }

    override fun close(): Unit = ffi.close()
}

internal fun FfiTags.toTags() = RegisterTags(
    headers.map { Tag(it.name, it.value) },
    uriParams.map { Tag(it.name, it.value) },
    contactParams.map { Tag(it.name, it.value) },
    uriParamsText,
    contactParamsText,
)
