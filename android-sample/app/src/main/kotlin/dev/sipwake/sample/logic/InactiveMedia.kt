package dev.sipwake.sample.logic

import dev.sipwake.SessionDescription

/** Stands where an app has its media engine: says to every offer that nothing is sent and nothing is heard. */
object InactiveMedia {
    private const val SESSION = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    private const val AUDIO = "m=audio 9 RTP/AVP 0"

    /** RFC 3264 section 6: an answer has as many media as its offer, in the same order; port 0 refuses one. */
    fun answer(offer: SessionDescription?): SessionDescription {
        val offered = offer?.text?.lineSequence()?.map { it.trim() }?.filter { it.startsWith("m=") }?.toList().orEmpty()
        return SessionDescription(SESSION + offered.ifEmpty { listOf(AUDIO) }.joinToString("") { answered(it) })
    }

    private fun answered(medium: String): String {
        val parts = medium.split(' ')
        val port = if (parts.first() == "m=audio" && parts.getOrNull(1)?.substringBefore('/') != "0") "9" else "0"
        return "${parts.first()} $port ${parts.drop(2).joinToString(" ")}\r\na=inactive\r\n"
    }
}
