package dev.sipwake.sample.logic

import dev.sipwake.TracedMessage

/** The last messages over the wire, for the user to send to a developer. The SDK took the secrets out. */
class TraceLog(private val limit: Int = 200, private val characters: Int = 500_000) {
    private val messages = ArrayDeque<TracedMessage>()
    private var size = 0

    @Synchronized
    fun add(message: TracedMessage) {
        messages.addLast(message)
        size += message.text.length
        while (messages.size > limit || (size > characters && messages.size > 1)) size -= messages.removeFirst().text.length
    }

    @Synchronized
    fun newest(count: Int): List<TracedMessage> = messages.takeLast(count).asReversed()

    /** Returns one text with all of it, the oldest first. */
    @Synchronized
    fun export(): String = messages.joinToString("\n") { "${heading(it)}\n${it.text.replace("\r\n", "\n").trimEnd()}\n" }

    companion object {
        fun heading(message: TracedMessage): String =
            "${message.at} ${if (message.sent) "sent on" else "received on"} flow ${message.flow}"

        /** Returns the request's or status line. */
        fun firstLine(message: TracedMessage): String = message.text.lineSequence().first().trim()
    }
}
