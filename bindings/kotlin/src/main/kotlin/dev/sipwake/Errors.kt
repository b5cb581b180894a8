package dev.sipwake

import java.nio.charset.CharacterCodingException
import kotlin.coroutines.cancellation.CancellationException
import dev.sipwake.ffi.InternalException
import dev.sipwake.ffi.SipWakeException as FfiException

/** The kinds of errors, to branch on. */
public enum class ErrorKind {
    /** A field was refused. Nothing was sent and nothing was stored. */
    INVALID_FIELD,

    /** The account was never added, or is logged out. */
    NO_SUCH_ACCOUNT,

    /** The account has no push settings. */
    NO_PUSH,

    /** There is no call with that id, or it is over, or not in a state for this. */
    NO_SUCH_CALL,

    /** No REGISTER of that number was written, the tags of none were taken, or nothing is left to be sent. */
    NO_SUCH_REGISTER,

    /** The store cannot be read or written now, and this is of use only when it is stored. */
    STORE,

    /** The client has been closed. */
    SHUT_DOWN,

    /** The system refused something that the client needs, or the app made this call from inside a callback. */
    UNAVAILABLE,

    /** sipwake's native library is not there for this machine, or it has another version. [SipWakeException.reason] says what to do. */
    LIBRARY_MISSING,

    /** A bug in sipwake. The app can continue. */
    INTERNAL,
}

/**
 * Why a call failed.
 *
 * @property kind the kind, to branch on
 * @property reason the reason in words, for developers and logs. It holds no secret
 * @property field the name of the refused field, for [ErrorKind.INVALID_FIELD]
 */
public class SipWakeException internal constructor(
    public val kind: ErrorKind,
    public val reason: String,
    public val field: String? = null,
    cause: Throwable? = null,
) : Exception(if (field == null) reason else "$field: $reason", cause)

/** Runs code that may fail in Rust, and throws this package's exception. */
internal inline fun <T> translating(block: () -> T): T = try {
    block()
} catch (cancelled: CancellationException) {
    throw cancelled
} catch (error: FfiException) {
    throw translated(error)
} catch (error: InternalException) {
    throw SipWakeException(ErrorKind.INTERNAL, error.message ?: "a bug in sipwake", cause = error)
} catch (error: CharacterCodingException) {
    throw SipWakeException(ErrorKind.INVALID_FIELD, "must not hold half a character (an unpaired surrogate)", "text", error)
} catch (error: LinkageError) {
    throw libraryMissing(error)
} catch (error: IllegalStateException) {
    // UniFFI throws this if somebody uses a closed object.
    throw SipWakeException(ErrorKind.SHUT_DOWN, "the client has been shut down", cause = error)
}

/** The first use of the library says why it cannot be loaded. Later uses only say that its class is unusable. */
@PublishedApi
internal fun libraryMissing(error: LinkageError): SipWakeException = SipWakeException(
    ErrorKind.LIBRARY_MISSING,
    "sipwake's native library cannot be loaded for ${System.getProperty("os.name")} on ${System.getProperty("os.arch")}: " +
        "on Android, the app's package must hold libsipwake_ffi.so for this ABI; on a desktop, depend on dev.sipwake:sipwake-jvm, or " +
        "name the folder with the library in the system property jna.library.path (${error.message?.lineSequence()?.first()})",
    cause = error,
)

@PublishedApi
internal fun translated(error: FfiException): SipWakeException = when (error) {
    is FfiException.InvalidField -> SipWakeException(ErrorKind.INVALID_FIELD, error.reason, error.field)
    is FfiException.NoSuchAccount -> SipWakeException(ErrorKind.NO_SUCH_ACCOUNT, error.reason)
    is FfiException.NoPush -> SipWakeException(ErrorKind.NO_PUSH, error.reason)
    is FfiException.NoSuchCall -> SipWakeException(ErrorKind.NO_SUCH_CALL, error.reason)
    is FfiException.NoSuchRegister -> SipWakeException(ErrorKind.NO_SUCH_REGISTER, error.reason)
    is FfiException.Store -> SipWakeException(ErrorKind.STORE, error.reason)
    is FfiException.ShutDown -> SipWakeException(ErrorKind.SHUT_DOWN, error.reason)
    is FfiException.Unavailable -> SipWakeException(ErrorKind.UNAVAILABLE, error.reason)
}
