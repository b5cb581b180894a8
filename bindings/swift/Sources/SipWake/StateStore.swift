import Foundation
import SipWakeFFI

/// Keeps a handful of small records. They hold secrets (tokens, HA1 values): encrypt them, and let no backup take them along.
///
/// Called from a thread of the client, which waits: a record must be safe before what depends on it is sent. Don't call
/// the client from in here, and don't wait for the main thread. What is thrown becomes ``SipWakeEvent/storeFailed(key:reason:)``.
public protocol StateStore: Sendable {
    /// Returns the record under this key, or nil.
    func load(key: String) throws -> Data?
    /// Stores a record, replacing the one under the same key as a whole or not at all.
    func save(key: String, bytes: Data) throws
    /// Stores a record whose loss would cost no more than a further message to the server, such as a counter. It need not
    /// survive a loss of power: a store that is slow when it must be certain may be quick here. The default is ``save(key:bytes:)``.
    func saveProgress(key: String, bytes: Data) throws
    /// Removes a record; one that is not there is no error.
    func remove(key: String) throws
}

extension StateStore {
    public func saveProgress(key: String, bytes: Data) throws {
        try save(key: key, bytes: bytes)
    }
}

final class ForeignStore: SipWakeFFI.StateStore {
    private let store: any StateStore

    init(_ store: any StateStore) {
        self.store = store
    }

    func load(key: String) throws -> Data? { try telling { try store.load(key: key) } }
    func save(key: String, bytes: Data) throws { try telling { try store.save(key: key, bytes: bytes) } }
    func saveProgress(key: String, bytes: Data) throws { try telling { try store.saveProgress(key: key, bytes: bytes) } }
    func remove(key: String) throws { try telling { try store.remove(key: key) } }
}

func telling<T>(_ work: () throws -> T) throws -> T {
    do {
        return try work()
    } catch {
        throw CallbackError.Failed(reason: (error as? any LocalizedError)?.errorDescription ?? "\(error)")
    }
}
