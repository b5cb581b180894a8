#if canImport(Security)
    import Foundation
    import Security

    /// Keeps records in the Keychain, readable once the phone was unlocked after its start, since a push may come to a locked phone,
    /// and on this device alone.
    public struct KeychainStateStore: StateStore {
        private let service: String

        /// - Parameter service: tells these records from the app's others.
        public init(service: String = "sipwake") {
            self.service = service
        }

        public func load(key: String) throws -> Data? {
            var query = item(key)
            query[kSecReturnData] = true
            query[kSecMatchLimit] = kSecMatchLimitOne
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query as CFDictionary, &found)
            if status == errSecItemNotFound { return nil }
            guard status == errSecSuccess else { throw KeychainError(status: status) }
            return found as? Data
        }

        public func save(key: String, bytes: Data) throws {
            let content: [CFString: Any] = [
                kSecValueData: bytes, kSecAttrAccessible: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
            ]
            var status = SecItemUpdate(item(key) as CFDictionary, content as CFDictionary)
            if status == errSecItemNotFound {
                status = SecItemAdd(item(key).merging(content) { $1 } as CFDictionary, nil)
            }
            guard status == errSecSuccess else { throw KeychainError(status: status) }
        }

        public func remove(key: String) throws {
            let status = SecItemDelete(item(key) as CFDictionary)
            guard status == errSecSuccess || status == errSecItemNotFound else { throw KeychainError(status: status) }
        }

        private func item(_ key: String) -> [CFString: Any] {
            [kSecClass: kSecClassGenericPassword, kSecAttrService: service, kSecAttrAccount: key]
        }
    }

    /// What the Keychain answered.
    public struct KeychainError: LocalizedError, Sendable {
        /// The status, for example `errSecInteractionNotAllowed` before the first unlock.
        public let status: OSStatus

        public var errorDescription: String? {
            SecCopyErrorMessageString(status, nil) as String? ?? "Keychain status \(status)"
        }
    }
#endif
