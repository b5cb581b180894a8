package dev.sipwake

/**
 * A record in the answer section of a DNS message (RFC 1035 section 4.1.3).
 *
 * @property message the whole message, because names in the record point back into it
 * @property start where its data begins
 * @property end where its data ends
 */
internal class DnsAnswer(private val message: ByteArray, private val start: Int, private val end: Int) {
    /** RFC 2782. Null if it is cut short. */
    fun srv(): SrvRecord? = read {
        SrvRecord(number(), number(), number(), name())
    }

    /** RFC 3403 section 4.1. Null if it is cut short. */
    fun naptr(): NaptrRecord? = read {
        val (order, preference) = number() to number()
        val (flags, service) = text() to text()
        text()
        NaptrRecord(order, preference, flags, service, name())
    }

    private fun <T> read(fields: DnsReader.() -> T): T? = try {
        DnsReader(message, start, end).fields()
    } catch (_: DnsFault) {
        null
    }
}

/** Returns the answers of this type, or none if it is not a DNS message. */
internal fun dnsAnswers(message: ByteArray, type: Int): List<DnsAnswer> {
    val answers = mutableListOf<DnsAnswer>()
    try {
        val reader = DnsReader(message, 4, message.size)
        val (questions, count) = reader.number() to reader.number()
        reader.skip(4)
        repeat(questions) {
            reader.name()
            reader.skip(4)
        }
        repeat(count) {
            reader.name()
            val found = reader.number()
            // Class and time to live.
            reader.skip(6)
            val length = reader.number()
            val start = reader.at
            reader.skip(length)
            if (found == type) answers += DnsAnswer(message, start, start + length)
        }
    } catch (_: DnsFault) {
        // The records before the fault are still good.
    }
    return answers
}

private class DnsFault : Exception()

/** Reads a message that anybody on the network may have written. */
private class DnsReader(private val message: ByteArray, var at: Int, private val end: Int) {
    fun number(): Int = byte() shl 8 or byte()

    /** A character string: its length, then so many bytes. */
    fun text(): String = take(byte())

    /** A name, with a dot behind each label. The root is `.`. */
    fun name(): String {
        val labels = StringBuilder()
        var length = byte()
        // A pointer ends the name here. The name continues at its target.
        var behind: DnsReader = this
        var jumps = 0
        while (length != 0) {
            if (length and POINTER == POINTER) {
                if (++jumps > MAX_JUMPS) throw DnsFault()
                behind = DnsReader(message, (length and POINTER.inv() shl 8) or behind.byte(), message.size)
            } else {
                if (length > MAX_LABEL || labels.length + length >= MAX_NAME) throw DnsFault()
                labels.append(behind.take(length)).append('.')
            }
            length = behind.byte()
        }
        return if (labels.isEmpty()) "." else "$labels"
    }

    fun skip(count: Int) {
        if (count > end - at) throw DnsFault()
        at += count
    }

    private fun byte(): Int {
        skip(1)
        return message[at - 1].toInt() and 0xFF
    }

    private fun take(count: Int): String {
        skip(count)
        return String(message, at - count, count, Charsets.ISO_8859_1)
    }

    private companion object {
        const val POINTER = 0xC0
        const val MAX_JUMPS = 16
        const val MAX_LABEL = 63
        const val MAX_NAME = 255
    }
}
