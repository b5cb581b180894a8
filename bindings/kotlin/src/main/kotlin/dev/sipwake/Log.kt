package dev.sipwake

import dev.sipwake.ffi.LogListener as FfiLogListener
import dev.sipwake.ffi.LogRecord as FfiLogRecord
import dev.sipwake.ffi.setLogLevel as ffiSetLogLevel
import dev.sipwake.ffi.setLogListener as ffiSetLogListener

/** How much is logged. */
public enum class LogLevel {
    /** Nothing. */
    OFF,

    /** Things that should not happen. */
    ERROR,

    /** Things that a developer should know. */
    WARN,

    /** Milestones: registered, logged out. */
    INFO,

    /** For looking into a problem. */
    DEBUG,

    /** Everything. */
    TRACE,
}

/**
 * One line of the log. It holds no secrets.
 *
 * @property level how serious it is
 * @property target the part of the SDK that wrote it
 * @property text the text
 * @property droppedBefore how many lines before this one were dropped because the listener was too slow
 */
public data class LogRecord(val level: LogLevel, val target: String, val text: String, val droppedBefore: Long)

/** Gets every line of the log, on its own thread. */
public fun interface LogListener {
    /** Takes a line. */
    public fun onLog(record: LogRecord)
}

/** The log of the whole process. */
public object SipWakeLog {
    /**
     * Sets how much is logged from here on. The default is [LogLevel.INFO].
     *
     * @throws SipWakeException of the kind [ErrorKind.UNAVAILABLE]
     */
    public fun setLevel(level: LogLevel): Unit = translating { ffiSetLogLevel(level.named()) }

    /**
     * Shows the log to the app, in addition to the platform's own log, until you pass null.
     *
     * @throws SipWakeException of the kind [ErrorKind.UNAVAILABLE]
     */
    public fun setListener(listener: LogListener?): Unit = translating { ffiSetLogListener(listener?.let(::SafeLogListener)) }
}

private class SafeLogListener(private val listener: LogListener) : FfiLogListener {
    override fun onLog(record: FfiLogRecord): Unit = guarded {
        listener.onLog(LogRecord(record.level.named(), record.target, record.text, record.droppedBefore.toLong()))
    }
}
