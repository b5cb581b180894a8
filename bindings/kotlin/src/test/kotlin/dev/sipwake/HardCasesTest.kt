package dev.sipwake

import dev.sipwake.ffi.panicNow
import dev.sipwake.ffi.panicWhenAwaited
import java.io.File
import java.io.IOException
import java.util.UUID
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull

class HardCasesTest {
    private val setup = alice()
    private val id = setup.account.id()

    @Test
    fun `a hundred calls at once are all answered`() = runBlocking {
        SipWakeClient(Memory(), listOf(setup)).use { client ->
            val outcomes = (1..100).map { number ->
                async(Dispatchers.Default) { client.setToken(id, "c-10:APA91b$number") }
            }.awaitAll()
            assertEquals(List(100) { TokenOutcome.TAKEN }, outcomes)
        }
    }

    @Test
    fun `a collector that stops is gone from Rust, and the next one goes on`() = runBlocking {
        SipWakeClient(Memory(), listOf(setup)).use { client ->
            repeat(50) { assertNull(withTimeoutOrNull(5) { client.events.first() }) }
            val waiting = async { client.events.first { it is SipWakeEvent.LoggedOut } }
            delay(100)
            client.logOut(id)
            withTimeout(PATIENCE_MS) { waiting.await() }
        }
        Unit
    }

    @Test
    fun `a cancelled call stops waiting at once, and its command still takes effect`() = runBlocking {
        val memory = Memory()
        val opened = CountDownLatch(1)
        val slow = object : StateStore by memory {
            override fun save(key: String, bytes: ByteArray) {
                opened.await()
                memory.save(key, bytes)
            }
        }
        SipWakeClient(slow, listOf(setup)).use { client ->
            val job = launch(Dispatchers.Default, CoroutineStart.UNDISPATCHED) { client.setToken(id, FIRST_TOKEN) }
            try {
                withTimeout(PATIENCE_MS) { job.cancelAndJoin() }
                assertTrue(memory.records.isEmpty(), "the store is still shut")
            } finally {
                opened.countDown()
            }
            withTimeout(PATIENCE_MS) {
                while (memory.records.values.none { FIRST_TOKEN in it.decodeToString() }) delay(20)
            }
        }
    }

    @Test
    fun `closing ends every suspended function`() = runBlocking {
        val client = SipWakeClient(Memory(), listOf(setup))
        val collected = async(Dispatchers.Default) { client.events.toList() }
        delay(100)
        client.close()
        client.close()
        withTimeout(PATIENCE_MS) { collected.await() }
        assertEquals(ErrorKind.SHUT_DOWN, assertFailsWith<SipWakeException> { client.register(id) }.kind)
        assertIs<PushAction.IncomingCall>(client.push(mapOf("ntype" to "0", "nfrom" to "1")))
        Unit
    }

    @Test
    fun `a store that throws leads to an event and never to a crash`() = runBlocking {
        for (thrown in listOf(IOException("disk full"), OutOfMemoryError("on purpose"), NotImplementedError("later"))) {
            val store = object : StateStore {
                override fun load(key: String): ByteArray = throw thrown
                override fun save(key: String, bytes: ByteArray) = throw thrown
                override fun remove(key: String) = throw thrown
            }
            SipWakeClient(store, listOf(setup)).use { client ->
                val failed = withTimeout(PATIENCE_MS) { client.events.first { it is SipWakeEvent.StoreFailed } }
                assertTrue("$failed".contains(thrown.message!!), "$failed")
                assertEquals(TokenOutcome.NOT_YET_DURABLE, client.setToken(id, FIRST_TOKEN))
            }
        }
    }

    @Test
    fun `a store that fails for a moment at the start loses no log-out of an earlier process`() = runBlocking {
        MockGateway("mizutech").use { gateway ->
            val alice = alice(gateway, Transport.TCP)
            val killed = ConcurrentHashMap<String, ByteArray>()
            val first = object : StateStore by Memory() {
                val kept = ConcurrentHashMap<String, ByteArray>()
                override fun load(key: String): ByteArray? = kept[key]
                override fun save(key: String, bytes: ByteArray) {
                    kept[key] = bytes
                    // The state on the disk if the process is killed right after.
                    if (key == "removals" && killed.isEmpty()) killed.putAll(kept)
                }
            }
            SipWakeClient(first, listOf(alice)).use { client ->
                val registered = async(start = CoroutineStart.UNDISPATCHED) { client.events.first { it is SipWakeEvent.Registered } }
                client.register(id)
                withTimeout(PATIENCE_MS) { registered.await() }
                killed.clear()
                client.logOut(id)
            }
            assertTrue(killed.containsKey("removals"), "${killed.keys}")
            val busy = object : StateStore {
                @Volatile
                var fails = true
                override fun load(key: String): ByteArray? = if (fails) error("BACKEND_BUSY") else killed[key]
                override fun save(key: String, bytes: ByteArray) {
                    killed[key] = bytes
                }

                override fun remove(key: String) {
                    killed.remove(key)
                }
            }
            val before = gateway.lastMessage()
            SipWakeClient(busy).use { client ->
                withTimeout(PATIENCE_MS) { client.events.first { it is SipWakeEvent.StoreFailed } }
                val told = async(start = CoroutineStart.UNDISPATCHED) { client.events.first { it is SipWakeEvent.LoggedOut && it.account == id } }
                busy.fails = false
                // The log-out of another user must not replace it.
                val bob = AccountConfig("sip:bob@mock.example", "x").copy(gateways = listOf("127.0.0.1:9"), transport = Transport.TCP)
                client.logOut(client.addAccount(AccountSetup(bob, PushConfig(Provider.Fcm, "app"))))
                client.storeAvailable()
                withTimeout(PATIENCE_MS) { told.await() }
            }
            assertTrue(gateway.registersReceived(before) > 0)
        }
    }

    @Test
    fun `a command that was not durable at first is reported once it is`() = runBlocking {
        val memory = Memory()
        var fails = true
        val store = object : StateStore by memory {
            override fun save(key: String, bytes: ByteArray) = if (fails) throw IOException("busy") else memory.save(key, bytes)
        }
        SipWakeClient(store, listOf(setup)).use { client ->
            assertEquals(TokenOutcome.NOT_YET_DURABLE, client.setToken(id, FIRST_TOKEN))
            fails = false
            client.storeAvailable()
            withTimeout(PATIENCE_MS) { client.events.first { it is SipWakeEvent.Durable } }
        }
        Unit
    }

    @Test
    fun `a listener that throws leads to an event, and gets later ones`() = runBlocking {
        val heard = CopyOnWriteArrayList<SipWakeEvent>()
        val listener = EventListener { event ->
            heard += event
            if (heard.size % 2 == 0) throw StackOverflowError("an Error") else throw IllegalStateException("an Exception")
        }
        SipWakeClient(Memory(), listOf(setup), listener).use { client ->
            val failures = async { client.events.first { it is SipWakeEvent.ListenerFailed && "an Error" in it.reason } }
            client.logOut(id)
            client.addAccount(setup)
            client.logOut(id)
            withTimeout(PATIENCE_MS) { failures.await() }
            assertTrue(heard.size >= 2, "$heard")
        }
    }

    @Test
    fun `a panic in Rust arrives as an exception`() = runBlocking {
        val now = assertFailsWith<SipWakeException> { translating { panicNow() } }
        assertEquals(ErrorKind.INTERNAL, now.kind)
        assertTrue("on purpose" in now.reason, now.reason)
        val awaited = assertFailsWith<SipWakeException> { translating { panicWhenAwaited() } }
        assertEquals(ErrorKind.INTERNAL, awaited.kind)
    }

    @Test
    fun `an error has its kind, its field and its reason, and no secret`() = runBlocking {
        val bad = AccountSetup(AccountConfig("alice@example.com", "hun\nter2"))
        val refused = assertFailsWith<SipWakeException> { SipWakeClient(Memory(), listOf(bad)) }
        assertEquals(ErrorKind.INVALID_FIELD to "credentials.password", refused.kind to refused.field)
        assertFalse("hun" in "$refused${bad.account}", "$refused ${bad.account}")
        SipWakeClient(Memory(), listOf(AccountSetup(setup.account))).use { client ->
            assertEquals(ErrorKind.NO_PUSH, assertFailsWith<SipWakeException> { client.setToken(id, FIRST_TOKEN) }.kind)
            val half = assertFailsWith<SipWakeException> { client.setToken(id, "\ud800") }
            assertEquals(ErrorKind.INVALID_FIELD, half.kind)
            val nobody = AccountId("0123456789abcdef")
            assertEquals(ErrorKind.NO_SUCH_ACCOUNT, assertFailsWith<SipWakeException> { client.register(nobody) }.kind)
            val call = UUID.randomUUID()
            assertEquals(ErrorKind.NO_SUCH_CALL, assertFailsWith<SipWakeException> { client.decline(call) }.kind)
        }
    }

    @Test
    fun `clients come and go without leaving memory or threads behind`() {
        val batches = 6
        val batch = (System.getProperty("sipwake.cycles")?.toInt() ?: 10_000) / batches
        fun cycle() = repeat(batch) { SipWakeClient(Memory(), listOf(setup)).close() }
        cycle()
        val threads = threadCount()
        val started = System.nanoTime()
        val resident = mutableListOf(residentKilobytes())
        repeat(batches - 1) {
            cycle()
            Thread.sleep(500)
            resident += residentKilobytes()
        }
        // Leftovers grow with each batch. The memory that allocators and collectors take once does not.
        val grown = resident.zipWithNext { before, after -> after - before }.sorted()
        println("${batch * batches} clients: ${resident.first() / 1024} MiB after the first batch, grown by $grown KiB in the others, " +
            "${(System.nanoTime() - started) / 1_000 / (batch * (batches - 1))} µs each, threads $threads then ${threadCount()}")
        // A client that is never freed would cost some 100 KiB. Even one kilobyte per client is too much.
        assertTrue(grown[grown.size / 2] < batch, "$grown KiB in the batches of $batch")
        runBlocking { withTimeoutOrNull(PATIENCE_MS) { while (threadCount() > threads + 8) delay(20) } }
        assertTrue(threadCount() <= threads + 8, "${threadCount()} threads, $threads before")
    }

    private fun residentKilobytes(): Long {
        System.gc()
        val line = File("/proc/self/status").readLines().first { it.startsWith("VmRSS") }
        return line.filter(Char::isDigit).toLong()
    }

    private fun threadCount(): Int = File("/proc/self/task").list().orEmpty().size
}
