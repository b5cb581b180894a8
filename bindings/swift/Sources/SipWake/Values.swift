import Foundation

/// A set of names that later versions may extend. A `switch` over it needs a `default`.
public protocol OpenName: RawRepresentable, Hashable, Sendable, CustomStringConvertible where RawValue == String {
    init(rawValue: String)
}

extension OpenName {
    public var description: String { rawValue }
}

/// A value whose description hides its secrets, also in a debugger's dump and inside another value.
public protocol Redacted: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {}

extension Redacted {
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// A name with its value.
public struct NamedValue: Hashable, Sendable {
    public var name: String
    public var value: String

    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

extension Duration {
    init(milliseconds: UInt64) {
        self = .milliseconds(Int64(clamping: milliseconds))
    }

    /// Whole milliseconds: none for a negative duration, and as many as fit for one of centuries.
    var milliseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
        return overflow ? .max : whole.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000_000_000)).partialValue
    }

    /// Whole seconds. 0 for a negative duration.
    var wholeSeconds: UInt32 { UInt32(clamping: components.seconds) }

    /// Seconds, for Foundation.
    public var timeInterval: TimeInterval {
        TimeInterval(components.seconds) + TimeInterval(components.attoseconds) * 1e-18
    }
}
