import Foundation

/// A key, as in CryptoKit. The sealed text is not secret here. It only cannot be opened with another key, for another purpose, or
/// after a change.
public struct SymmetricKey: Sendable {
    public struct Size: Sendable { public static let bits256 = Size() }
    let bytes: Data

    public init(size: Size) {
        var random = SystemRandomNumberGenerator()
        bytes = Data((0..<32).map { _ in UInt8.random(in: 0...255, using: &random) })
    }

    public init(data: some ContiguousBytes) {
        bytes = data.withUnsafeBytes { Data($0) }
    }

    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R { try bytes.withUnsafeBytes(body) }
}

public enum CryptoKitError: Error { case incorrectParameterSize, authenticationFailure }

public enum AES {
    public enum GCM {
        public struct SealedBox {
            public let combined: Data?
            public init(combined: some DataProtocol) throws {
                guard combined.count >= 28 else { throw CryptoKitError.incorrectParameterSize }
                self.combined = Data(combined)
            }
        }

        public static func seal(_ message: Data, using key: SymmetricKey, authenticating about: Data = Data()) throws -> SealedBox {
            let hidden = Data(message.enumerated().map { $1 ^ key.bytes[$0 % key.bytes.count] })
            return try SealedBox(combined: Data(count: 12) + hidden + tag(hidden, key, about))
        }

        public static func open(_ box: SealedBox, using key: SymmetricKey, authenticating about: Data = Data()) throws -> Data {
            let all = box.combined ?? Data()
            let hidden = Data(all.dropFirst(12).dropLast(16))
            guard Data(all.suffix(16)) == tag(hidden, key, about) else { throw CryptoKitError.authenticationFailure }
            return Data(hidden.enumerated().map { $1 ^ key.bytes[$0 % key.bytes.count] })
        }

        private static func tag(_ hidden: Data, _ key: SymmetricKey, _ about: Data) -> Data {
            var sums: [UInt64] = [0xcbf2_9ce4_8422_2325, 0x8422_2325_cbf2_9ce4]
            for (index, byte) in (key.bytes + Data([UInt8(truncatingIfNeeded: about.count)]) + about + hidden).enumerated() {
                sums[index % 2] = (sums[index % 2] ^ UInt64(byte)) &* 0x100_0000_01b3
                sums[(index + 1) % 2] ^= sums[index % 2] >> 7
            }
            return sums.reduce(into: Data()) { all, sum in withUnsafeBytes(of: sum.bigEndian) { all.append(contentsOf: $0) } }
        }
    }
}
