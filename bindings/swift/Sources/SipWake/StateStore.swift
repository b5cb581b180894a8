import Foundation
import SipWakeFFI

/// Keeps a handful of small records. They hold secrets (tokens, HA1 values), so encrypt them, and exclude them from backups.
///
/// A thread of the client calls it and waits, because a record must be safe before anything that depends on it is sent. Don't call the
/// client from in here, and don't wait for the main thread. If it throws, there is a ``SipWakeEvent/storeFailed(key:reason:)``.
///
/// Only one process may write to a store, because two clients on one store would use the same Call-ID. Any number may read. If your
/// app has several processes that write, throw ``StoreShut`` in all but one.
public protocol StateStore: Sendable {
    /// Returns the record under this key, or nil if there is none.
    ///
    /// - Throws: ``StoreShut`` while records cannot be read yet, such as before the first unlock. That is not the same as no record.
    func load(key: String) throws -> Data?
    /// Stores a record. It replaces the one under the same key completely or not at all.
    func save(key: String, bytes: Data) throws
    /// Stores a record whose loss would only cost another message to the server, such as a counter. It need not survive a loss of power, so
    /// a slow store can be fast here. The default is ``save(key:bytes:)``.
    func saveProgress(key: String, bytes: Data) throws
    /// Removes a record. A missing record is not an error.
    func remove(key: String) throws
    /// Returns the keys of all records. The client never asks for them. An app uses them to remove what a former installation left
    /// behind.
    ///
    /// - Throws: ``SipWakeError/unavailable(reason:)`` by default, from a store that cannot list its records.
    func keys() throws -> [String]
    /// Removes all records. Log the accounts out first and wait for the event, because a removed binding can no longer be unbound. The
    /// default removes the records that ``keys()`` names.
    func removeAll() throws
}

extension StateStore {
    public func saveProgress(key: String, bytes: Data) throws {
        try save(key: key, bytes: bytes)
    }

    public func keys() throws -> [String] {
        throw SipWakeError.unavailable(reason: "\(Self.self) cannot list its records")
    }

    public func removeAll() throws {
        for key in try keys() { try remove(key: key) }
    }
}

/// A store that cannot be read yet, for example before the phone's first unlock. It can be read later.
public struct StoreShut: LocalizedError, Hashable, Sendable {
    public let reason: String

    public init(reason: String) {
        self.reason = reason
    }

    public var errorDescription: String? { reason }
}

/// A store for tests and previews: its records end with it.
public final class MemoryStore: StateStore, @unchecked Sendable {
    // Guards `records`.
    private let lock = NSLock()
    private var records: [String: Data] = [:]

    public init() {}

    public func load(key: String) -> Data? { lock.withLock { records[key] } }
    public func save(key: String, bytes: Data) { lock.withLock { records[key] = bytes } }
    public func remove(key: String) { lock.withLock { records[key] = nil } }
    public func keys() -> [String] { lock.withLock { Array(records.keys) } }
    public func removeAll() { lock.withLock { records = [:] } }
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
    } catch let shut as StoreShut {
        throw CallbackError.Shut(reason: shut.reason)
    } catch {
        throw CallbackError.Failed(reason: (error as? any LocalizedError)?.errorDescription ?? "\(error)")
    }
}
