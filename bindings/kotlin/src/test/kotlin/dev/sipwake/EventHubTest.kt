package dev.sipwake

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking

class EventHubTest {
    private val hub = EventHub()

    private fun events(range: IntRange) = range.map { SipWakeEvent.Other("$it") }

    @Test
    fun `each collector gets the last events first, unless it asks for new ones only`() = runBlocking {
        events(1..70).forEach(hub::tell)
        val late = List(2) { async(start = CoroutineStart.UNDISPATCHED) { hub.flow(fromNow = false).toList() } }
        val fresh = async(start = CoroutineStart.UNDISPATCHED) { hub.flow(fromNow = true).toList() }
        events(71..71).forEach(hub::tell)
        hub.close()
        for (collector in late) assertEquals(events(7..71), collector.await())
        assertEquals(events(71..71), fresh.await())
        assertEquals(events(8..71), hub.flow(fromNow = false).toList(), "also when all is over")
    }

    @Test
    fun `a slow collector learns how many events it lost`() = runBlocking {
        val slow = async(start = CoroutineStart.UNDISPATCHED) { hub.flow(fromNow = true).toList() }
        events(1..300).forEach(hub::tell)
        hub.close()
        // A waiting collector gets one event in addition to those in the queue.
        val told = slow.await()
        val events = told.size - 1
        assertEquals(events(1..events) + SipWakeEvent.EventsLost(300L - events), told)
        assertTrue(events in 256..257, "$events events")
    }
}
