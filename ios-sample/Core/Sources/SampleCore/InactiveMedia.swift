import Foundation
import SipWake

/// Stands where an app has its media engine: it takes every call and neither sends nor wants any sound.
@MainActor
public final class InactiveMedia: CallMedia {
    public init() {}

    public func answer(_ call: UUID, to offer: SessionDescription?) async throws -> SessionDescription {
        SessionDescription(sdp: inactiveSession(answering: offer?.text))
    }

    public func renegotiate(_ call: UUID, offer: SessionDescription?) async -> SessionDescription? {
        SessionDescription(sdp: inactiveSession(answering: offer?.text))
    }

    public func connected(_ call: UUID, answer: SessionDescription?) {}
    public func ended(_ call: UUID, _ reason: EndReason) {}
}

/// Returns a session description whose one audio stream is inactive, or with such an answer for each stream that was offered: the
/// first audio stream inactive, all others refused. RFC 3264 section 6 wants as many `m=` lines as the offer has, in its order.
func inactiveSession(answering offer: String?) -> String {
    var lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "c=IN IP4 0.0.0.0", "t=0 0"]
    let offered = (offer ?? "").split(whereSeparator: \.isNewline).compactMap(Stream.init)
    var audible = false
    for stream in offered.isEmpty ? [Stream(media: "audio", proto: "RTP/AVP", formats: "0")] : offered {
        let taken = stream.media == "audio" && stream.port != 0 && !audible
        lines.append("m=\(stream.media) \(taken ? 9 : 0) \(stream.proto) \(stream.formats)")
        if taken { lines.append("a=inactive") }
        audible = audible || taken
    }
    return lines.map { $0 + "\r\n" }.joined()
}

/// media-field = %s"m" "=" media SP port ["/" integer] SP proto 1*(SP fmt) CRLF (RFC 8866 section 9)
private struct Stream {
    var media: String
    var port = 9
    var proto: String
    var formats: String
}

extension Stream {
    fileprivate init?(_ line: Substring) {
        let parts = line.split(separator: " ", maxSplits: 3)
        guard parts.count == 4, parts[0].hasPrefix("m="), let port = parts[1].split(separator: "/").first.flatMap({ Int($0) })
        else { return nil }
        self.init(media: String(parts[0].dropFirst(2)), port: port, proto: String(parts[2]), formats: String(parts[3]))
    }
}
