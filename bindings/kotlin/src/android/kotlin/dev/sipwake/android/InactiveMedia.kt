package dev.sipwake.android

import dev.sipwake.SessionDescription
import java.util.UUID

/** A placeholder for a media engine while you build an app. It answers calls without sound. */
public object InactiveMedia : CallMedia {
    private const val SESSION = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    private const val AUDIO = "m=audio 9 RTP/AVP 0"

    override suspend fun describe(call: UUID, offer: SessionDescription?): SessionDescription = answer(offer)

    /** RFC 3264 section 6: an answer has as many media as its offer, in the same order. Port 0 refuses one. */
    public fun answer(offer: SessionDescription?): SessionDescription {
        val offered = offer?.text?.lineSequence()?.map { it.trim() }?.filter { it.startsWith("m=") }?.toList().orEmpty()
        return SessionDescription(SESSION + offered.ifEmpty { listOf(AUDIO) }.joinToString("") { answered(it) })
    }

    private fun answered(medium: String): String {
        val parts = medium.split(' ')
        val port = if (parts.first() == "m=audio" && parts.getOrNull(1)?.substringBefore('/') != "0") "9" else "0"
        return "${parts.first()} $port ${parts.drop(2).joinToString(" ")}\r\na=inactive\r\n"
    }
}
