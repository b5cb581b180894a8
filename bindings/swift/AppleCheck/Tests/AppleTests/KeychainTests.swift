import Foundation
import Security
import SipWake
import SipWakeApple
import Testing

extension AppleTests {
    @Suite struct KeychainTests {
        private let keychain = PlayedKeychain.shared
        private let service = "sipwake-\(UUID().uuidString)"
        private var progress: URL {
            FileManager.default.urls(for: .applicationSupportDirectory, in: .userDomainMask)[0].appendingPathComponent(service + ".progress")
        }

        init() { keychain.reset() }

        @Test func recordsOutliveTheAppAreListedAndWiped() throws {
            let store = KeychainStateStore(service: service)
            #expect(try store.load(key: "removals") == nil)
            #expect(try store.keys() == [])
            try store.save(key: "removals", bytes: Data("one".utf8))
            try store.save(key: "removals", bytes: Data("two".utf8))
            try store.save(key: "calls", bytes: Data("three".utf8))
            try KeychainStateStore(service: "another").save(key: "removals", bytes: Data("four".utf8))
            let later = KeychainStateStore(service: service)
            #expect(try later.load(key: "removals") == Data("two".utf8))
            #expect(try later.keys().sorted() == ["calls", "removals"])
            try later.remove(key: "calls")
            try later.remove(key: "calls")
            #expect(try later.keys() == ["removals"])
            try later.removeAll()
            #expect(try later.keys() == [])
            #expect(try later.load(key: "removals") == nil)
            #expect(try KeychainStateStore(service: "another").load(key: "removals") == Data("four".utf8))
            #expect(keychain.violations == [])
        }

        @Test func beforeTheFirstUnlockTheStoreIsShutAndNotEmpty() throws {
            let store = KeychainStateStore(service: service)
            try store.save(key: "removals", bytes: Data("one".utf8))
            keychain.setShut(true)
            #expect(throws: StoreShut.self) { try store.load(key: "removals") }
            #expect(throws: StoreShut.self) { try store.save(key: "removals", bytes: Data()) }
            #expect(throws: StoreShut.self) { try store.remove(key: "removals") }
            #expect(throws: StoreShut.self) { try store.keys() }
            #expect(throws: StoreShut.self) { try KeychainStateStore(service: service).saveProgress(key: "new", bytes: Data("x".utf8)) }
            keychain.setShut(false)
            #expect(try store.load(key: "removals") == Data("one".utf8))
        }

        @Test func progressIsWrittenBesideTheKeychainAndOutlivesTheProcess() throws {
            defer { try? FileManager.default.removeItem(at: progress) }
            let store = KeychainStateStore(service: service)
            try store.save(key: "binding", bytes: Data("base".utf8))
            try store.saveProgress(key: "binding", bytes: Data("one".utf8))
            let writes = keychain.writes
            for number in 0..<20 { try store.saveProgress(key: "binding", bytes: Data("progress \(number)".utf8)) }
            #expect(keychain.writes == writes, "no write to the Keychain")
            #expect(try store.load(key: "binding") == Data("progress 19".utf8))
            #expect(try KeychainStateStore(service: service).load(key: "binding") == Data("progress 19".utf8))
            let files = try FileManager.default.contentsOfDirectory(at: progress, includingPropertiesForKeys: nil)
            let content = String(decoding: try Data(contentsOf: try #require(files.first)), as: UTF8.self)
            #expect(files.count == 1 && !content.contains("progress"))
            #expect(keychain.violations == [])
        }

        @Test func progressNeverReplacesANewerRecord() throws {
            defer { try? FileManager.default.removeItem(at: progress) }
            let store = KeychainStateStore(service: service)
            try store.save(key: "binding", bytes: Data("base".utf8))
            try store.saveProgress(key: "binding", bytes: Data("old".utf8))
            let kept = try FileManager.default.contentsOfDirectory(at: progress, includingPropertiesForKeys: nil)[0]
            let old = try Data(contentsOf: kept)
            try store.save(key: "binding", bytes: Data("new".utf8))
            // The state after a kill before the file was removed.
            try old.write(to: kept)
            #expect(try store.load(key: "binding") == Data("new".utf8))
            try store.remove(key: "binding")
            try old.write(to: kept)
            #expect(try store.load(key: "binding") == nil)
        }

        @Test func changedProgressIsIgnored() throws {
            defer { try? FileManager.default.removeItem(at: progress) }
            let store = KeychainStateStore(service: service)
            try store.save(key: "binding", bytes: Data("base".utf8))
            try store.saveProgress(key: "binding", bytes: Data("progress".utf8))
            let file = try FileManager.default.contentsOfDirectory(at: progress, includingPropertiesForKeys: nil)[0]
            var content = try Data(contentsOf: file)
            content[content.count - 1] ^= 1
            try content.write(to: file)
            #expect(try store.load(key: "binding") == Data("base".utf8))
            try Data().write(to: file)
            #expect(try store.load(key: "binding") == Data("base".utf8))
        }

        @Test func progressThatCannotBeWrittenToAFileGoesIntoTheKeychain() throws {
            defer { try? FileManager.default.removeItem(at: progress) }
            let store = KeychainStateStore(service: service)
            try store.save(key: "binding", bytes: Data("base".utf8))
            try FileManager.default.createDirectory(at: progress.deletingLastPathComponent(), withIntermediateDirectories: true)
            // A file in the place of the folder.
            try Data("x".utf8).write(to: progress)
            try store.saveProgress(key: "binding", bytes: Data("progress".utf8))
            #expect(try KeychainStateStore(service: service).load(key: "binding") == Data("progress".utf8))
        }

        @Test func progressWithoutARecordIsTheRecord() throws {
            let store = KeychainStateStore(service: service)
            try store.saveProgress(key: "binding", bytes: Data("first".utf8))
            #expect(try KeychainStateStore(service: service).load(key: "binding") == Data("first".utf8))
        }
    }
}
