package dev.sipwake

import java.io.IOException
import dev.sipwake.ffi.CallbackException
import dev.sipwake.ffi.Event as FfiEvent
import dev.sipwake.ffi.EventListener as FfiEventListener
import dev.sipwake.ffi.StateStore as FfiStateStore

/**
 * Keeps a handful of small records. They hold secrets, so encrypt them, and exclude them from backups.
 *
 * A thread of the client calls it and waits, because a record must be safe before anything that depends on it is sent. Don't call
 * the client from in here, and don't wait for the main thread. If it throws, there is a [SipWakeEvent.StoreFailed].
 *
 * Only one process may write to a store, because two clients on one store would use the same Call-ID. Any number may read. If your
 * app has several processes that write, throw [StoreShutException] in all but one, as the AAR's `KeystoreStateStore` does.
 */
public interface StateStore {
    /** Returns the record under this key, or null. */
    public fun load(key: String): ByteArray?

    /** Stores a record. It replaces the one under the same key completely or not at all. */
    public fun save(key: String, bytes: ByteArray)

    /** Removes a record. A missing record is not an error. */
    public fun remove(key: String)

    /**
     * Returns the keys of all records. The client never asks for them. An app uses them to remove what a former installation left
     * behind.
     *
     * @throws UnsupportedOperationException by default, from a store that cannot list its records
     */
    public fun keys(): Set<String> = throw UnsupportedOperationException("${javaClass.name} cannot list its records")

    /**
     * Removes all records. Log the accounts out first and wait for the event, because a removed binding can no longer be unbound.
     * The default removes the records that [keys] names.
     */
    public fun removeAll(): Unit = keys().forEach(::remove)
}

/**
 * A [StateStore] throws this if it cannot be read or written *now*, such as before the phone's first unlock. The store is not
 * empty, so nothing may overwrite a record that could not be read.
 */
public class StoreShutException @JvmOverloads constructor(reason: String, cause: Throwable? = null) : IOException(reason, cause)

/** Gets every event, one after the other, on its own thread. If it throws, there is a [SipWakeEvent.ListenerFailed]. */
public fun interface EventListener {
    /** Takes an event. */
    public fun onEvent(event: SipWakeEvent)
}

// UniFFI's callbacks catch an Exception. JNA would catch an Error, and Rust would take the call for a success.

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
