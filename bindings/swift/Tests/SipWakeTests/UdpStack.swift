import Foundation
import Glibc
import SipWake

/// A received SIP message.
struct SipMessage: Sendable {
    let start: String
    let headers: [NamedValue]

    init(_ text: String) {
        let lines = text.components(separatedBy: "\r\n\r\n")[0].components(separatedBy: "\r\n")
        start = lines[0]
        headers = lines.dropFirst().compactMap { line in
            line.firstIndex(of: ":").map {
                NamedValue(name: String(line[..<$0]), value: line[line.index(after: $0)...].trimmingCharacters(in: .whitespaces))
            }
        }
    }

    var method: String { String(start.prefix { $0 != " " }) }
    /// A response's status; nil for a request.
    var status: UInt16? { start.hasPrefix("SIP/2.0 ") ? UInt16(start.dropFirst(8).prefix(3)) : nil }

    subscript(name: String) -> String { headers.first { $0.name.lowercased() == name.lowercased() }?.value ?? "" }
}

/// A foreign SIP stack: it registers and handles calls over UDP, and knows nothing about push. Its Call-ID survives the process, and
/// its CSeq grows.
final class UdpStack: @unchecked Sendable {
    let contact: String
    private let user: String
    private let credentials: Credentials
    private let socket: Int32
    private let at: String
    private let callID: String
    private let tag = UUID().uuidString.prefix(8)
    // Guards the fields below.
    private let lock = NSLock()
    private var cseq = Int(Date().timeIntervalSince1970 * 1000) & 0x3fff_ffff
    private var waiting: [Int: @Sendable (SipMessage) -> Void] = [:]
    private var onRequest: @Sendable (SipMessage) -> Void = { _ in }
    private var closed = false

    init(_ address: String, user: String, credentials: Credentials) {
        callID = "\(user)-of-\(address)"
        self.user = user
        self.credentials = credentials
        socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        let parts = address.split(separator: ":")
        var server = sockaddr_in()
        server.sin_family = sa_family_t(AF_INET)
        server.sin_port = in_port_t(parts[1])!.bigEndian
        server.sin_addr.s_addr = inet_addr(String(parts[0]))
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        var own = sockaddr_in()
        let bound = socket
        _ = withUnsafePointer(to: &server) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(bound, $0, size) } }
        _ = withUnsafeMutablePointer(to: &own) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(bound, $0, &size) } }
        at = "127.0.0.1:\(UInt16(bigEndian: own.sin_port))"
        contact = "sip:\(user)@\(at)"
        let thread = Thread { [weak self] in
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = recv(bound, &buffer, buffer.count, 0)
                guard let self, count > 0, !self.lock.withLock({ self.closed }) else { break }
                self.received(SipMessage(String(decoding: buffer[..<count], as: UTF8.self)))
            }
            Glibc.close(bound)
        }
        thread.start()
    }

    /// Handles requests: INVITE, CANCEL and BYE.
    func take(_ onRequest: @escaping @Sendable (SipMessage) -> Void) {
        lock.withLock { self.onRequest = onRequest }
    }

    func close() {
        lock.withLock { closed = true }
        shutdown(socket, Int32(SHUT_RDWR))
    }

    private func received(_ message: SipMessage) {
        if let status = message.status {
            let cseq = message["CSeq"].split(separator: " ")
            guard cseq[1] == "REGISTER", status >= 200 else { return }
            lock.withLock { waiting.removeValue(forKey: Int(cseq[0])!) }?(message)
        } else if message.method != "ACK" {
            if message.method != "INVITE" { respond(to: message, 200) }
            lock.withLock { onRequest }(message)
        }
    }

    /// Registers with these additions, and answers a challenge.
    func register(
        _ say: CompanionRegister, answering challenge: String? = nil, digestURI: String? = nil,
        then heard: @escaping @Sendable (SipMessage) -> Void
    ) {
        let number = lock.withLock {
            cseq += 1
            waiting[cseq] = heard
            return cseq
        }
        var lines = ["REGISTER \(say.requestURI) SIP/2.0", "Via: SIP/2.0/UDP \(at);branch=z9hG4bK\(UUID());rport"]
        lines += ["From: <sip:\(user)@mock.example>;tag=\(tag)", "To: <sip:\(user)@mock.example>", "Max-Forwards: 70"]
        lines += ["Call-ID: \(callID)", "CSeq: \(number) REGISTER"]
        lines += say.removed.map { "Contact: <\($0)>;expires=0" }
        lines += ["Contact: <\(say.contact ?? contact + say.tags.uriParamsText)>\(say.tags.contactParamsText)", "Expires: \(say.expires)"]
        lines += say.tags.headers.map { "\($0.name): \($0.value)" }
        if let challenge { lines.append("Authorization: " + authorization(challenge, digestURI ?? say.requestURI)) }
        send(lines)
    }

    private func authorization(_ challenge: String, _ uri: String) -> String {
        func asked(_ name: String) -> String? {
            challenge.range(of: "\\b\(name)=\"?([^\",]*)", options: .regularExpression).map {
                challenge[$0].drop { $0 != "=" }.dropFirst().trimmingCharacters(in: ["\""])
            }
        }
        let (realm, nonce, cnonce) = (asked("realm") ?? "", asked("nonce") ?? "", UUID().uuidString)
        let ha1 =
            switch credentials {
            case .password(let password): md5("\(user):\(realm):\(password)")
            case .hashes(let hashes): hashes.first { $0.realm == realm && $0.algorithm == .md5 }?.ha1 ?? ""
            }
        let qop = asked("qop") == nil ? "" : ":00000001:\(cnonce):auth"
        let response = md5("\(ha1):\(nonce)\(qop):\(md5("REGISTER:\(uri)"))")
        return "Digest username=\"\(user)\", realm=\"\(realm)\", nonce=\"\(nonce)\", uri=\"\(uri)\", response=\"\(response)\", algorithm=MD5"
            + (qop.isEmpty ? "" : ", qop=auth, nc=00000001, cnonce=\"\(cnonce)\"")
    }

    func respond(to request: SipMessage, _ status: UInt16) {
        let copied = request.headers.filter { ["via", "from", "call-id", "cseq", "record-route"].contains($0.name.lowercased()) }
        let to = request["To"].contains(";tag=") ? request["To"] : "\(request["To"]);tag=\(tag)"
        var lines = ["SIP/2.0 \(status) -"] + copied.map { "\($0.name): \($0.value)" } + ["To: \(to)", "Contact: <\(contact)>"]
        let offers = status == 200 && request.method == "INVITE"
        if offers { lines.append("Content-Type: application/sdp") }
        send(lines, offers ? "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n" : "")
    }

    /// Ends the call of this INVITE.
    func bye(_ invite: SipMessage) {
        let target = invite["Contact"].drop { $0 != "<" }.dropFirst().prefix { $0 != ">" }
        let routes = invite.headers.filter { $0.name.lowercased() == "record-route" }.map { "Route: \($0.value)" }
        let lines = ["BYE \(target) SIP/2.0", "Via: SIP/2.0/UDP \(at);branch=z9hG4bK\(UUID());rport", "Max-Forwards: 70"] + routes
        send(lines + ["From: \(invite["To"]);tag=\(tag)", "To: \(invite["From"])", "Call-ID: \(invite["Call-ID"])", "CSeq: 1 BYE"])
    }

    private func send(_ lines: [String], _ body: String = "") {
        let text = Array((lines + ["Content-Length: \(body.utf8.count)", "", body]).joined(separator: "\r\n").utf8)
        _ = Glibc.send(socket, text, text.count, 0)
    }
}

/// RFC 1321, only for digests: Foundation on Linux has no MD5.
func md5(_ text: String) -> String {
    let turns: [[UInt32]] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]]
    var message = Array(text.utf8)
    let bits = UInt64(message.count) * 8
    message.append(0x80)
    while message.count % 64 != 56 { message.append(0) }
    for byte in 0..<8 { message.append(UInt8(truncatingIfNeeded: bits >> UInt64(8 * byte))) }
    var state: [UInt32] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]
    for block in stride(from: 0, to: message.count, by: 64) {
        var words = [UInt32](repeating: 0, count: 16)
        for byte in 0..<64 { words[byte / 4] |= UInt32(message[block + byte]) << UInt32(8 * (byte % 4)) }
        var (a, b, c, d) = (state[0], state[1], state[2], state[3])
        for step in 0..<64 {
            let mixed: UInt32
            let word: Int
            switch step / 16 {
            case 0: (mixed, word) = ((b & c) | (~b & d), step)
            case 1: (mixed, word) = ((d & b) | (~d & c), (5 * step + 1) % 16)
            case 2: (mixed, word) = (b ^ c ^ d, (3 * step + 5) % 16)
            default: (mixed, word) = (c ^ (b | ~d), (7 * step) % 16)
            }
            let constant = UInt32(UInt64(abs(sin(Double(step + 1))) * 4_294_967_296.0))
            let sum: UInt32 = a &+ mixed &+ constant &+ words[word]
            let turn = turns[step / 16][step % 4]
            let turned: UInt32 = (sum << turn) | (sum >> (32 - turn))
            (a, d, c, b) = (d, c, b, b &+ turned)
        }
        state = [state[0] &+ a, state[1] &+ b, state[2] &+ c, state[3] &+ d]
    }
    return state.map { String(format: "%08x", $0.byteSwapped) }.joined()
}
