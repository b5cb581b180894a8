#if SIPWAKE_STANDINS || (canImport(Security) && canImport(Darwin))
    import Foundation

    /// Progress beside a slow store, such as the Keychain. Each record has one sealed file, which is written often and never waited for.
    /// A file belongs to one write of its record and begins with that write's mark. When the record is written again, the file no longer
    /// counts.
    struct ProgressFiles: Sendable {
        /// Encrypts and decrypts. `open` returns nil if it cannot decrypt.
        struct Seal: Sendable {
            let seal: @Sendable (_ plain: Data, _ about: Data) throws -> Data
            let open: @Sendable (_ sealed: Data, _ about: Data) throws -> Data
        }

        private let folder: URL
        private let sealing: Seal

        /// The length of a record's mark.
        static let markLength = 16

        init(folder: URL, sealing: Seal) {
            self.folder = folder
            self.sealing = sealing
        }

        /// A mark for a record that is about to be written.
        static func newMark() -> Data {
            withUnsafeBytes(of: UUID().uuid) { Data($0) }
        }

        /// Returns the progress since the record with this mark was written. Nil if there is none, or if it cannot be read.
        func load(_ key: String, mark: Data) -> Data? {
            guard let file = try? Data(contentsOf: file(key)), file.prefix(Self.markLength) == mark else { return nil }
            return try? sealing.open(Data(file.dropFirst(Self.markLength)), about(key, mark))
        }

        func save(_ key: String, mark: Data, bytes: Data) throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let content = mark + (try sealing.seal(bytes, about(key, mark)))
            #if canImport(Darwin)
                var folder = folder
                var values = URLResourceValues()
                values.isExcludedFromBackup = true
                try folder.setResourceValues(values)
                try content.write(to: file(key), options: [.atomic, .completeFileProtectionUntilFirstUserAuthentication])
            #else
                try content.write(to: file(key), options: .atomic)
            #endif
        }

        func remove(_ key: String) {
            try? FileManager.default.removeItem(at: file(key))
        }

        func removeAll() {
            try? FileManager.default.removeItem(at: folder)
        }

        /// The name is in hexadecimal. So no key names a file elsewhere, and no two names differ only in case.
        private func file(_ key: String) -> URL {
            folder.appendingPathComponent(key.utf8.map { String(format: "%02x", $0) }.joined())
        }

        private func about(_ key: String, _ mark: Data) -> Data {
            Data(key.utf8) + mark
        }
    }
#endif
