import Foundation

public struct SymmetricKey: Sendable {
    public init(data: some ContiguousBytes) {}
}

public enum AES {
    public enum GCM {
        public struct SealedBox {
            public init(combined: some DataProtocol) throws {}
        }

        public static func open(_ sealedBox: SealedBox, using key: SymmetricKey) throws -> Data { Data() }
    }
}
