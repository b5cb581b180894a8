@_exported import SipWakeApple

import Foundation
import SipWake

/// The Keychain store, as it is seen from outside.
public struct KeychainStateStore: StateStore {
    public init(service: String = "sipwake", group: String? = nil) {}
    public func load(key: String) throws -> Data? { nil }
    public func save(key: String, bytes: Data) throws {}
    public func remove(key: String) throws {}
}
