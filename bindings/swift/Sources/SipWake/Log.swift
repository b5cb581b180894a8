import Foundation
import SipWakeFFI

/// How much is logged.
public enum LogLevel: Hashable, Sendable {
    /// Nothing.
    case off
    /// Things that should not happen.
    case error
    /// Things that a developer should know.
    case warn
    /// Milestones: registered, logged out.
    case info
    /// For looking into a problem.
    case debug
    /// Everything.
    case trace
}

/// One line of the log. It holds no secrets.
public struct LogRecord: Hashable, Sendable {
    /// How serious it is.
    public let level: LogLevel
    /// The part of the SDK that wrote it.
    public let target: String
    /// The text.
    public let text: String
    /// How many lines before this one were dropped because the listener was too slow.
    public let droppedBefore: UInt64
}

/// A message as it went over the wire, but without its secrets: it shows only their length and last four characters.
public struct TracedMessage: Hashable, Sendable {
    public let date: Date
    /// Whether we sent it.
    public let sent: Bool
    /// The number of the connection.
    public let flow: UInt64
    public let text: String

    public init(date: Date, sent: Bool, flow: UInt64, text: String) {
        self.date = date
        self.sent = sent
        self.flow = flow
        self.text = text
    }
}

/// The log of the whole process.
public enum SipWakeLog {
    /// Sets how much is logged from here on. The default is `info`.
    public static func setLevel(_ level: LogLevel) throws {
        try translating { try setLogLevel(level: level.foreign) }
    }

    /// Shows the log to the app, in addition to the system's own log, on its own thread, until you pass nil.
    public static func setListener(_ listener: (@Sendable (LogRecord) -> Void)?) throws {
        try translating { try setLogListener(listener: listener.map(ForeignLog.init)) }
    }
}

final class ForeignTrace: TraceListener {
    private let take: @Sendable (TracedMessage) -> Void

    init(_ take: @escaping @Sendable (TracedMessage) -> Void) {
        self.take = take
    }

    func onMessage(message: SipWakeFFI.TracedMessage) throws {
        let date = Date(millisecondsSince1970: message.atMs)
        take(TracedMessage(date: date, sent: message.sent, flow: message.flow, text: message.text))
    }
}

private final class ForeignLog: LogListener {
    private let take: @Sendable (LogRecord) -> Void

    init(_ take: @escaping @Sendable (LogRecord) -> Void) {
        self.take = take
    }

    func onLog(record: SipWakeFFI.LogRecord) throws {
        let level = LogLevel(record.level)
        take(LogRecord(level: level, target: record.target, text: record.text, droppedBefore: record.droppedBefore))
    }
}

extension LogLevel {
    fileprivate init(_ level: SipWakeFFI.LogLevel) {
        switch level {
        case .off: self = .off
        case .error: self = .error
        case .warn: self = .warn
        case .info: self = .info
        case .debug: self = .debug
        case .trace: self = .trace
        }
    }

    fileprivate var foreign: SipWakeFFI.LogLevel {
        switch self {
        case .off: .off
        case .error: .error
        case .warn: .warn
        case .info: .info
        case .debug: .debug
        case .trace: .trace
        }
    }
}
