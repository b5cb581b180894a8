package dev.sipwake

import dev.sipwake.ffi.uniffiEnsureInitialized
import kotlin.test.Test

/** Not one of the tests: `scripts/bench --only kotlin` runs it in a JVM of its own. It measures and asserts nothing. */
class PayloadBench {
    private val data = mapOf(
        "ntype" to "0",
        "nfrom" to "1234",
        "nfromusername" to "John",
        "ntouser" to "alice",
        "ncallid" to "c1@example.com",
    )

    @Test
    fun `from a payload to its action`() {
        val loaded = nanoseconds { uniffiEnsureInitialized() }
        val first = nanoseconds { parsePush(data) }
        println("  loading JNA and the library: ${loaded / 1_000_000} ms; the first call after it: ${first / 1_000_000} ms (budget 50 ms)")
        repeat(20_000) { parsePush(data) }
        val samples = List(20_000) { nanoseconds { parsePush(data) } }.sorted()
        println("  payload to action, warm: ${micros(samples[samples.size / 2])} µs median, ${micros(samples[samples.size * 99 / 100])} µs p99 (budget 100 µs)")
        val copied = List(20_000) { nanoseconds { check(HashMap(data).size == data.size) } }.sorted()
        println("  beside it, a copy of the map in Kotlin alone: ${micros(copied[copied.size / 2])} µs median")
    }

    private inline fun nanoseconds(work: () -> Unit): Long {
        val start = System.nanoTime()
        work()
        return System.nanoTime() - start
    }

    private fun micros(nanoseconds: Long) = "%.1f".format(nanoseconds / 1_000.0)
}
