package dev.sipwake

import java.net.DatagramPacket
import java.net.DatagramSocket
import java.net.InetSocketAddress
import java.net.SocketException
import java.security.MessageDigest
import java.util.UUID
import java.util.concurrent.ConcurrentHashMap
import kotlin.concurrent.thread

/** A received SIP message. */
class SipMessage(text: String) {
    private val lines = text.substringBefore("\r\n\r\n").split("\r\n")
    val start = lines.first()
    val headers: List<Pair<String, String>> = lines.drop(1).map { it.substringBefore(':') to it.substringAfter(':').trim() }

    val method: String get() = start.substringBefore(' ')

    fun header(name: String): String = headers.first { it.first.equals(name, ignoreCase = true) }.second
}

/** A response to a REGISTER. */
class Response(val status: Int, val phrase: String, val headers: List<Pair<String, String>>)

/**
 * A foreign SIP stack: it registers and handles calls over UDP, and knows nothing about push. Its Call-ID survives the process, and its
 * CSeq grows.
 */
class UdpStack(address: String, private val user: String, private val credentials: Credentials, private val callId: String) : AutoCloseable {
    private val socket = DatagramSocket().apply { connect(InetSocketAddress(address.substringBefore(':'), address.substringAfter(':').toInt())) }
    private val at = "127.0.0.1:${socket.localPort}"
    private val tag = "t${System.nanoTime()}"
    private val waiting = ConcurrentHashMap<Int, (Response) -> Unit>()
    private var cseq = (System.nanoTime() / 1_000_000 and 0x3fff_ffff).toInt()
    val contact = "sip:$user@$at"

    @Volatile
    var onInvite: (SipMessage) -> Unit = {}

    /** A CANCEL or BYE with the Call-ID of an INVITE. */
    @Volatile
    var onEnd: (SipMessage) -> Unit = {}

    init {
        thread(isDaemon = true, name = "udp-stack") {
            try {
                while (true) {
                    val packet = DatagramPacket(ByteArray(65536), 65536).also(socket::receive)
                    received(SipMessage(String(packet.data, 0, packet.length)))
                }
            } catch (_: SocketException) {
                // The socket is closed.
            }
        }
    }

    private fun received(message: SipMessage) {
        if (message.start.startsWith("SIP/2.0 ")) {
            val (_, status, phrase) = message.start.split(' ', limit = 3)
            val (seq, method) = message.header("CSeq").split(' ')
            if (method != "REGISTER" || status.startsWith("1")) return
            waiting.remove(seq.toInt())?.invoke(Response(status.toInt(), phrase, message.headers))
        } else when (message.method) {
            "INVITE" -> onInvite(message)
            "CANCEL", "BYE" -> {
                respond(message, 200)
                onEnd(message)
            }
            "ACK" -> {}
            else -> respond(message, 200)
        }
    }

    /** Registers with these additions, and answers a challenge. */
    @Synchronized
    fun register(say: CompanionRegister, challenge: String? = null, digestUri: String? = null, answered: (Response) -> Unit) {
        cseq++
        val lines = mutableListOf("REGISTER ${say.requestUri} SIP/2.0", "Via: SIP/2.0/UDP $at;branch=z9hG4bK${UUID.randomUUID()};rport")
        lines += listOf("From: <sip:$user@mock.example>;tag=$tag", "To: <sip:$user@mock.example>", "Max-Forwards: 70")
        lines += listOf("Call-ID: $callId", "CSeq: $cseq REGISTER")
        say.removed.forEach { lines += "Contact: <$it>;expires=0" }
        lines += "Contact: <${say.contact ?: (contact + say.tags.uriParamsText)}>${say.tags.contactParamsText}"
        lines += "Expires: ${say.expires.inWholeSeconds}"
        say.tags.headers.forEach { lines += "${it.name}: ${it.value}" }
        challenge?.let { lines += "Authorization: " + authorization(it, digestUri ?: say.requestUri) }
        waiting[cseq] = answered
        send(lines)
    }

    private fun authorization(challenge: String, uri: String): String {
        val asked = Regex("(\\w+)=\"?([^\",]*)\"?").findAll(challenge).associate { it.groupValues[1] to it.groupValues[2] }
        val realm = asked.getValue("realm")
        val ha1 = when (credentials) {
            is Credentials.Password -> md5("$user:$realm:${credentials.password}")
            is Credentials.Hashes -> credentials.hashes.first { it.realm == realm && it.algorithm == DigestAlgorithm.MD5 }.ha1
        }
        val cnonce = "${UUID.randomUUID()}"
        val qop = if ("qop" in asked) ":00000001:$cnonce:auth" else ""
        val response = md5("$ha1:${asked["nonce"]}$qop:${md5("REGISTER:$uri")}")
        return "Digest username=\"$user\", realm=\"$realm\", nonce=\"${asked["nonce"]}\", uri=\"$uri\", response=\"$response\", algorithm=MD5" +
            if (qop.isEmpty()) "" else ", qop=auth, nc=00000001, cnonce=\"$cnonce\""
    }

    fun respond(request: SipMessage, status: Int) {
        val copied = request.headers.filter { it.first.lowercase() in setOf("via", "from", "call-id", "cseq", "record-route") }
        val lines = mutableListOf("SIP/2.0 $status -") + copied.map { (name, value) -> "$name: $value" }
        val to = request.header("To")
        val body = if (status == 200 && request.method == "INVITE") SDP else ""
        val type = if (body.isEmpty()) emptyList() else listOf("Content-Type: application/sdp")
        send(lines + "To: ${if (";tag=" in to) to else "$to;tag=$tag"}" + "Contact: <$contact>" + type, body)
    }

    /** Ends the call of this INVITE. */
    fun bye(invite: SipMessage) {
        val target = invite.header("Contact").substringAfter('<').substringBefore('>')
        val routes = invite.headers.filter { it.first.equals("Record-Route", ignoreCase = true) }.map { "Route: ${it.second}" }
        val lines = listOf("BYE $target SIP/2.0", "Via: SIP/2.0/UDP $at;branch=z9hG4bK${UUID.randomUUID()};rport", "Max-Forwards: 70")
        send(lines + routes + "From: ${invite.header("To")};tag=$tag" + "To: ${invite.header("From")}" + "Call-ID: ${invite.header("Call-ID")}" + "CSeq: 1 BYE")
    }

    private fun send(lines: List<String>, body: String = "") {
        val text = (lines + "Content-Length: ${body.length}" + "" + body).joinToString("\r\n").toByteArray()
        if (!socket.isClosed) socket.send(DatagramPacket(text, text.size))
    }

    private fun md5(text: String) = MessageDigest.getInstance("MD5").digest(text.toByteArray()).joinToString("") { "%02x".format(it) }

    override fun close(): Unit = socket.close()

    private companion object {
        const val SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
    }
}
