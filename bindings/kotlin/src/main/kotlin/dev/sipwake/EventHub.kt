package dev.sipwake

import kotlinx.coroutines.channels.Channel as Queue
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/**
 * Gives each collector every event: first the last few from before it came, then all that follow. A slow collector loses events,
 * learns how many, and does not delay the others.
 */
internal class EventHub {
    private val kept = ArrayDeque<SipWakeEvent>()
    private val collectors = LinkedHashSet<Collector>()
    private var over = false

    @Synchronized
    fun tell(event: SipWakeEvent) {
        if (kept.size == KEPT) kept.removeFirst()
        kept += event
        collectors.forEach { it.offer(event) }
    }

    @Synchronized
    fun close() {
        over = true
        collectors.forEach { it.queue.close() }
    }

    fun flow(fromNow: Boolean): Flow<SipWakeEvent> = flow {
        val collector = join(fromNow)
        try {
            for (event in collector.queue) emit(event)
            val lost = untold(collector)
            if (lost > 0) emit(SipWakeEvent.EventsLost(lost))
        } finally {
            leave(collector)
        }
    }

    @Synchronized
    private fun join(fromNow: Boolean) = Collector().also { collector ->
        if (!fromNow) kept.forEach(collector::offer)
        if (over) collector.queue.close() else collectors += collector
    }

    @Synchronized
    private fun leave(collector: Collector) {
        collectors -= collector
    }

    @Synchronized
    private fun untold(collector: Collector) = collector.lost

    private class Collector {
        val queue = Queue<SipWakeEvent>(ROOM)
        var lost = 0L
            private set

        fun offer(event: SipWakeEvent) {
            if (lost > 0 && queue.trySend(SipWakeEvent.EventsLost(lost)).isSuccess) lost = 0
            if (lost > 0 || !queue.trySend(event).isSuccess) lost++
        }
    }

    private companion object {
        const val KEPT = 64
        const val ROOM = 256
    }
}
