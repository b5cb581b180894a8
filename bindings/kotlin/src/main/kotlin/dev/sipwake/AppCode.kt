package dev.sipwake

import java.io.IOException
import dev.sipwake.ffi.CallbackException
import dev.sipwake.ffi.Event as FfiEvent
import dev.sipwake.ffi.EventListener as FfiEventListener
import dev.sipwake.ffi.StateStore as FfiStateStore

/**
 * Keeps a handful of small records. They hold secrets: encrypt them, and let no backup take them along.
 *
 * Called from a thread of the client, which waits, because a record must be safe before what depends on it is sent. Don't call the client
 * from in here, and don't wait for the main thread. If it throws, there is a [SipWakeEvent.StoreFailed].
 */
public interface StateStore {
    /** Returns the record under this key, or null. */
    public fun load(key: String): ByteArray?

    /** Stores a record, replacing the one under the same key as a whole or not at all. */
    public fun save(key: String, bytes: ByteArray)

    /** Removes a record. A missing record is not an error. */
    public fun remove(key: String)

    /**
     * Returns the keys of all records. The client never asks for them. They are for an app that removes what a former installation left.
     *
     * @throws UnsupportedOperationException by default, from a store that cannot list its records
     */
    public fun keys(): Set<String> = throw UnsupportedOperationException("${javaClass.name} cannot list its records")

    /**
     * Removes all records. Log the accounts out first and wait for the event. What is removed here can no longer be unbound. The default
     * removes those that [keys] names.
     */
    public fun removeAll(): Unit = keys().forEach(::remove)
}

/**
 * A [StateStore] throws it if it cannot be read or written *now*, such as before the phone's first unlock. It is not empty: nothing may
 * overwrite what was not read.
 */
public class StoreShutException @JvmOverloads constructor(reason: String, cause: Throwable? = null) : IOException(reason, cause)

/** Gets every event, one after the other, on its own thread. If it throws, there is a [SipWakeEvent.ListenerFailed]. */
public fun interface EventListener {
    /** Takes an event. */
    public fun onEvent(event: SipWakeEvent)
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

internal inline fun <T> guarded(block: () -> T): T = try {
    block()
} catch (shut: StoreShutException) {
    throw CallbackException.Shut(shut.message ?: "the store is shut")
} catch (thrown: Throwable) {
    throw CallbackException.Failed(thrown.toString().lineSequence().first())
}
