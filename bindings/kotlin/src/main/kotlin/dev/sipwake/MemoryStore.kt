package dev.sipwake

import java.util.concurrent.ConcurrentHashMap

/**
 * Keeps records for as long as the process lives. For tests and tools: after a restart, pending log-outs are lost.
 */
public class MemoryStore : StateStore {
    private val records = ConcurrentHashMap<String, ByteArray>()

    override fun load(key: String): ByteArray? = records[key]

    override fun save(key: String, bytes: ByteArray) {
        records[key] = bytes
    }

    override fun remove(key: String) {
        records.remove(key)
    }

    override fun keys(): Set<String> = records.keys.toSet()
}
