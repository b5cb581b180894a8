import Foundation
import SipWake

/// Opens pushes of a server that hides from Apple who calls: the field `sealed` holds, in base64, an encrypted JSON object of the
/// fields that the SDK reads. An app puts its own server's form here.
public struct SealedPayload: PayloadDecryptor {
    private let open: @Sendable (Data) throws -> Data

    /// - Parameter open: deciphers, or throws.
    public init(open: @escaping @Sendable (Data) throws -> Data) {
        self.open = open
    }

    public func decrypt(_ payload: [String: Any]) throws -> [String: String]? {
        guard let sealed = payload["sealed"] as? String else { return nil }
        guard let bytes = Data(base64Encoded: sealed) else { throw Unreadable() }
        return try JSONDecoder().decode([String: String].self, from: try open(bytes))
    }

    struct Unreadable: Error {}
}
