package dev.sipwake

import dev.sipwake.ffi.CallbackException
import dev.sipwake.ffi.Event as FfiEvent
import dev.sipwake.ffi.EventListener as FfiEventListener
import dev.sipwake.ffi.LogListener as FfiLogListener
import dev.sipwake.ffi.StateStore as FfiStateStore
import dev.sipwake.ffi.setLogLevel as ffiSetLogLevel
import dev.sipwake.ffi.setLogListener as ffiSetLogListener

/**
 * Keeps a handful of small records. They hold secrets: encrypt them, and let no backup take them along.
 *
 * Called from a thread of the client, which waits: a record must be safe before what depends on it is sent. Don't call the
 * client from in here, and don't wait for the main thread. What is thrown becomes [SipWakeEvent.StoreFailed].
 */
public interface StateStore {
    /** Returns the record under this key, or null. */
    public fun load(key: String): ByteArray?

    /** Stores a record, replacing the one under the same key as a whole or not at all. */
    public fun save(key: String, bytes: ByteArray)

    /** Removes a record; one that is not there is no error. */
    public fun remove(key: String)
}

/** Hears of every event, one after the other, on a thread made for it. What it throws becomes [SipWakeEvent.ListenerFailed]. */
public fun interface EventListener {
    /** Takes an event. */
    public fun onEvent(event: SipWakeEvent)
}

/** Hears of every line of the log, on a thread made for it. */
public fun interface LogListener {
    /** Takes a line. */
    public fun onLog(record: LogRecord)
}

/** The log of the whole process. */
public object SipWakeLog {
    /**
     * Sets how much is logged from here on; [LogLevel.INFO] until then.
     *
     * @throws SipWakeException of the kind [ErrorKind.UNAVAILABLE]
     */
    public fun setLevel(level: LogLevel): Unit = translating { ffiSetLogLevel(level) }

    /**
     * Shows the log to the app, beside the platform's own log, until it is given null.
     *
     * @throws SipWakeException of the kind [ErrorKind.UNAVAILABLE]
     */
    public fun setListener(listener: LogListener?): Unit = translating { ffiSetLogListener(listener?.let(::SafeLogListener)) }
}

// UniFFI's callbacks catch an Exception; an Error would end in JNA's hands, and Rust would take its call for a success.

internal class SafeStore(private val store: StateStore) : FfiStateStore {
    override fun load(key: String): ByteArray? = guarded { store.load(key) }
    override fun save(key: String, bytes: ByteArray): Unit = guarded { store.save(key, bytes) }
    override fun saveProgress(key: String, bytes: ByteArray): Unit = guarded { store.save(key, bytes) }
    override fun remove(key: String): Unit = guarded { store.remove(key) }
}

internal class SafeListener(private val listener: EventListener) : FfiEventListener {
    override fun onEvent(event: FfiEvent): Unit = guarded { listener.onEvent(event.toEvent()) }
}

private class SafeLogListener(private val listener: LogListener) : FfiLogListener {
    override fun onLog(record: LogRecord): Unit = guarded { listener.onLog(record) }
}

internal inline fun <T> guarded(block: () -> T): T = try {
    block()
} catch (thrown: Throwable) {
    throw CallbackException.Failed(thrown.toString().lineSequence().first())
}
