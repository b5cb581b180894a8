import Foundation
import SipWake

/// The latest messages, without their secrets as the SDK shows them, in bounded memory.
public final class TraceRing: Sendable {
    private let contents: Guarded
    private let maxMessages: Int
    private let maxBytes: Int

    public init(maxMessages: Int = 500, maxBytes: Int = 512 * 1024) {
        self.maxMessages = maxMessages
        self.maxBytes = maxBytes
        contents = Guarded()
    }

    /// Takes a message; the oldest ones make room for it. Called on a thread of the client.
    public func add(_ message: TracedMessage) {
        contents.with {
            $0.messages.append(message)
            $0.bytes += message.text.utf8.count
            var first = 0
            while $0.messages.count - first > maxMessages || $0.bytes > maxBytes {
                $0.bytes -= $0.messages[first].text.utf8.count
                first += 1
            }
            $0.messages.removeFirst(first)
            $0.dropped += first
        }
    }

    public var count: Int { contents.with { $0.messages.count } }

    /// Returns all that is kept, as text for a bug report that begins with `heading`.
    public func export(heading: String) -> String {
        let (messages, dropped) = contents.with { ($0.messages, $0.dropped) }
        let clock = ISO8601DateFormatter()
        clock.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        var text = "\(heading)\n\(messages.count) messages" + (dropped > 0 ? ", \(dropped) older ones dropped\n" : "\n")
        for message in messages {
            let time = clock.string(from: message.date)
            text += "\n--- \(time) \(message.sent ? "sent" : "received") on flow \(message.flow)\n"
            text += message.text.replacingOccurrences(of: "\r\n", with: "\n")
        }
        return text
    }
}

private final class Guarded: @unchecked Sendable {
    struct Contents {
        var messages: [TracedMessage] = []
        var bytes = 0
        var dropped = 0
    }

    // Guards `contents`.
    private let lock = NSLock()
    private var contents = Contents()

    func with<T>(_ work: (inout Contents) -> T) -> T {
        lock.withLock { work(&contents) }
    }
}
