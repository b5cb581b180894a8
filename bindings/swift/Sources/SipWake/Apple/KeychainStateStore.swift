#if canImport(Security)
    import Foundation
    import Security

    /// Keeps records in the Keychain, readable once the phone was unlocked after its start, since a push may come to a locked phone,
    /// and on this device alone. Until then it is shut: ``StoreShut``, which is not the same as empty.
    public struct KeychainStateStore: StateStore {
        private let service: String
        private let group: String?

        /// - Parameters:
        ///   - service: tells these records from the app's others.
        ///   - group: a Keychain group that app and extension share, `TEAM.name`; nil: the first of the app's groups.
        public init(service: String = "sipwake", group: String? = nil) {
            self.service = service
            self.group = group
        }

        public func load(key: String) throws -> Data? {
            var query = item(key)
            query[kSecReturnData] = true
            query[kSecMatchLimit] = kSecMatchLimitOne
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query as CFDictionary, &found)
            if status == errSecItemNotFound { return nil }
            guard status == errSecSuccess else { throw problem(status) }
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
            guard status == errSecSuccess else { throw problem(status) }
        }

        public func remove(key: String) throws {
            let status = SecItemDelete(item(key) as CFDictionary)
            guard status == errSecSuccess || status == errSecItemNotFound else { throw problem(status) }
        }

        /// Returns the keys of all records.
        public func keys() throws -> [String] {
            var query = records
            query[kSecReturnAttributes] = true
            query[kSecMatchLimit] = kSecMatchLimitAll
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query as CFDictionary, &found)
            if status == errSecItemNotFound { return [] }
            guard status == errSecSuccess else { throw problem(status) }
            return (found as? [[CFString: Any]] ?? []).compactMap { $0[kSecAttrAccount] as? String }
        }

        /// Removes all records. Log the accounts out first: what is removed here can no longer be unbound.
        public func removeAll() throws {
            let status = SecItemDelete(records as CFDictionary)
            guard status == errSecSuccess || status == errSecItemNotFound else { throw problem(status) }
        }

        private func item(_ key: String) -> [CFString: Any] {
            records.merging([kSecAttrAccount: key]) { $1 }
        }

        private var records: [CFString: Any] {
            var records: [CFString: Any] = [kSecClass: kSecClassGenericPassword, kSecAttrService: service]
            if let group { records[kSecAttrAccessGroup] = group }
            // On macOS, too: the file-based keychain there knows no accessibility. Asks for a signed app with a Keychain group.
            records[kSecUseDataProtectionKeychain] = true
            return records
        }

        /// Before the first unlock the Keychain says that it may not ask the user.
        private func problem(_ status: OSStatus) -> any Error {
            let error = KeychainError(status: status)
            switch status {
            case errSecInteractionNotAllowed, errSecNotAvailable:
                return StoreShut(reason: error.localizedDescription)
            default:
                return error
            }
        }
    }

    /// What the Keychain answered.
    public struct KeychainError: LocalizedError, Sendable {
        /// The status, for example `errSecInteractionNotAllowed` before the first unlock.
        public let status: OSStatus

        public var errorDescription: String? {
            "Keychain status \(status): \(SecCopyErrorMessageString(status, nil) as String? ?? "unknown")"
        }
    }
#endif
