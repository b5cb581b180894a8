#if SIPWAKE_STANDINS || (canImport(Security) && canImport(Darwin))
    import CryptoKit
    import Foundation
    import Security
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Keeps records in the Keychain, only on this device. They can be read after the first unlock since the phone's start, because a
    /// push may come to a locked phone. Until then the store is shut (``StoreShut``), which is not the same as empty. On macOS, too, it
    /// uses the data-protection keychain, which needs a signed app with a Keychain group.
    ///
    /// A write to the Keychain takes milliseconds. Progress is written far more often, so it goes into files beside the Keychain, sealed
    /// with a key from it.
    public struct KeychainStateStore: StateStore {
        private let service: String
        private let group: String?
        private let progress: ProgressFiles
        private let marks = Marks()

        /// - Parameters:
        ///   - service: separates these records from the app's others.
        ///   - group: a Keychain group that app and extension share, `TEAM.name`. Nil means the first of the app's groups.
        public init(service: String = "sipwake", group: String? = nil) {
            self.service = service
            self.group = group
            let folder = FileManager.default.urls(for: .applicationSupportDirectory, in: .userDomainMask)[0]
            let key = ProgressKey(Items(service: service + ".progress", group: group))
            progress = ProgressFiles(
                folder: folder.appendingPathComponent(service + ".progress"),
                sealing: ProgressFiles.Seal(
                    seal: { plain, about in
                        guard let sealed = try AES.GCM.seal(plain, using: key.value(), authenticating: about).combined else {
                            throw KeychainError(status: errSecParam)
                        }
                        return sealed
                    },
                    open: { sealed, about in
                        try AES.GCM.open(AES.GCM.SealedBox(combined: sealed), using: key.value(), authenticating: about)
                    }))
        }

        public func load(key: String) throws -> Data? {
            guard let (record, mark) = try items.load(key) else { return nil }
            marks[key] = mark
            return mark.flatMap { progress.load(key, mark: $0) } ?? record
        }

        public func save(key: String, bytes: Data) throws {
            let mark = ProgressFiles.newMark()
            try items.save(key, bytes, mark: mark)
            marks[key] = mark
            progress.remove(key)
        }

        public func saveProgress(key: String, bytes: Data) throws {
            do {
                guard let mark = try marks[key] ?? items.load(key)?.mark else { return try save(key: key, bytes: bytes) }
                marks[key] = mark
                try progress.save(key, mark: mark, bytes: bytes)
            } catch {
                // The disk is full, or a folder cannot be made. The Keychain is slower, but just as good.
                try save(key: key, bytes: bytes)
            }
        }

        public func remove(key: String) throws {
            try items.remove(key)
            marks[key] = nil
            progress.remove(key)
        }

        public func keys() throws -> [String] {
            try items.keys()
        }

        public func removeAll() throws {
            try items.removeAll()
            marks.removeAll()
            progress.removeAll()
        }

        private var items: Items { Items(service: service, group: group) }
    }

    /// Knows which write of each record is the last one.
    private final class Marks: @unchecked Sendable {
        // Guards `known`.
        private let lock = NSLock()
        private var known: [String: Data] = [:]

        subscript(key: String) -> Data? {
            get { lock.withLock { known[key] } }
            set { lock.withLock { known[key] = newValue } }
        }

        func removeAll() { lock.withLock { known = [:] } }
    }

    /// The key that seals progress. It is made once, and then the process keeps it.
    private final class ProgressKey: @unchecked Sendable {
        private let items: Items
        // Guards `known`.
        private let lock = NSLock()
        private var known: SymmetricKey?

        init(_ items: Items) {
            self.items = items
        }

        func value() throws -> SymmetricKey {
            try lock.withLock {
                if let known { return known }
                let key: SymmetricKey
                if let (stored, _) = try items.load("key") {
                    key = SymmetricKey(data: stored)
                } else {
                    key = SymmetricKey(size: .bits256)
                    try items.save("key", key.withUnsafeBytes { Data($0) }, mark: Data())
                }
                known = key
                return key
            }
        }
    }

    /// The Keychain's items of one service.
    private struct Items: Sendable {
        let service: String
        let group: String?

        func load(_ key: String) throws -> (record: Data, mark: Data?)? {
            var query = item(key)
            query[kSecReturnData] = true
            query[kSecReturnAttributes] = true
            query[kSecMatchLimit] = kSecMatchLimitOne
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query as CFDictionary, &found)
            if status == errSecItemNotFound { return nil }
            guard status == errSecSuccess else { throw problem(status) }
            guard let found = found as? [CFString: Any], let record = found[kSecValueData] as? Data else {
                throw problem(errSecDecode)
            }
            let mark = found[kSecAttrGeneric] as? Data
            return (record, mark?.count == ProgressFiles.markLength ? mark : nil)
        }

        func save(_ key: String, _ bytes: Data, mark: Data) throws {
            let content: [CFString: Any] = [
                kSecValueData: bytes, kSecAttrGeneric: mark,
                kSecAttrAccessible: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
            ]
            var status = SecItemUpdate(item(key) as CFDictionary, content as CFDictionary)
            if status == errSecItemNotFound {
                status = SecItemAdd(item(key).merging(content) { $1 } as CFDictionary, nil)
            }
            guard status == errSecSuccess else { throw problem(status) }
        }

        func remove(_ key: String) throws {
            try delete(item(key))
        }

        func removeAll() throws {
            try delete(all)
        }

        func keys() throws -> [String] {
            var query = all
            query[kSecReturnAttributes] = true
            query[kSecMatchLimit] = kSecMatchLimitAll
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query as CFDictionary, &found)
            if status == errSecItemNotFound { return [] }
            guard status == errSecSuccess else { throw problem(status) }
            return (found as? [[CFString: Any]] ?? []).compactMap { $0[kSecAttrAccount] as? String }
        }

        private func delete(_ query: [CFString: Any]) throws {
            var status = SecItemDelete(query as CFDictionary)
            #if os(macOS)
                // If several items match, macOS deletes only one.
                while status == errSecSuccess, query[kSecAttrAccount] == nil { status = SecItemDelete(query as CFDictionary) }
            #endif
            guard status == errSecSuccess || status == errSecItemNotFound else { throw problem(status) }
        }

        private func item(_ key: String) -> [CFString: Any] {
            all.merging([kSecAttrAccount: key]) { $1 }
        }

        private var all: [CFString: Any] {
            var all: [CFString: Any] = [kSecClass: kSecClassGenericPassword, kSecAttrService: service]
            if let group { all[kSecAttrAccessGroup] = group }
            // The file-based keychain of macOS has no accessibility attribute.
            all[kSecUseDataProtectionKeychain] = true
            return all
        }

        /// Before the first unlock the Keychain reports that it may not ask the user.
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

    /// The Keychain's error.
    public struct KeychainError: LocalizedError, Sendable {
        /// The status, for example `errSecInteractionNotAllowed` before the first unlock.
        public let status: OSStatus

        public var errorDescription: String? {
            "Keychain status \(status): \(SecCopyErrorMessageString(status, nil) as String? ?? "unknown")"
        }
    }
#endif
