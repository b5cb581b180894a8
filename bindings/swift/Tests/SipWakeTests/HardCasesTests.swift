import Foundation
import Testing

import func SipWakeFFI.panicNow
import func SipWakeFFI.panicWhenAwaited

@testable import SipWake

/// Fails in the given way.
private final class Broken: StateStore {
    struct DiskFull: LocalizedError { var errorDescription: String? { "disk full" } }

    func load(key: String) throws -> Data? { throw DiskFull() }
    func save(key: String, bytes: Data) throws { throw DiskFull() }
    func remove(key: String) throws { throw DiskFull() }
}

/// Can be shut, like the Keychain before the phone's first unlock.
private final class Lockable: StateStore, @unchecked Sendable {
    // Guards both fields.
    private let lock = NSLock()
    private var records: [String: Data] = [:]
    private var shut = false

    func setShut(_ shut: Bool) { lock.withLock { self.shut = shut } }
    var count: Int { lock.withLock { records.count } }
    func load(key: String) throws -> Data? { try open { $0[key] } }
    func save(key: String, bytes: Data) throws { try open { $0[key] = bytes } }
    func remove(key: String) throws { try open { $0[key] = nil } }

    private func open<T>(_ work: (inout [String: Data]) -> T) throws -> T {
        try lock.withLock {
            if shut { throw StoreShut(reason: "not unlocked yet") }
            return work(&records)
        }
    }
}

private final class Slow: StateStore {
    let memory = MemoryStore()
    let asked = DispatchSemaphore(value: 0)
    let opened = DispatchSemaphore(value: 0)

    func load(key: String) -> Data? { memory.load(key: key) }
    func remove(key: String) { memory.remove(key: key) }
    func save(key: String, bytes: Data) {
        asked.signal()
        opened.wait()
        opened.signal()
        memory.save(key: key, bytes: bytes)
    }
}

@Suite(.serialized) struct HardCasesTests {
    @Test func aHundredCallsAtOnceAreAllAnswered() async throws {
        let app = try App(store: MemoryStore(), setup: alice())
        let taken = try await within(patience) {
            try await withThrowingTaskGroup(of: TokenOutcome.self) { group in
                for number in 0..<100 {
                    let token = String(format: "%064x", number)
                    group.addTask { try await app.client.setToken(token, for: app.account) }
                }
                return try await group.reduce(into: 0) { count, outcome in count += outcome == .taken ? 1 : 0 }
            }
        }
        #expect(taken == 100)
    }

    @Test func aCancelledReaderEndsInRustAndTheNextOneGoesOn() async throws {
        let client = try SipWakeClient(store: MemoryStore(), accounts: [alice()])
        let account = try alice().account.id()
        for _ in 0..<50 {
            let events = client.events()
            let reader = Task { for await _ in events {} }
            reader.cancel()
            try await within(patience) { await reader.value }
        }
        let events = client.events()
        let reader = Task {
            for await event in events { if case .loggedOut = event { return true } }
            return false
        }
        try await client.logOut(account)
        #expect(try await within(patience) { await reader.value })
    }

    @Test func aCancelledCallStopsWaitingAtOnceAndItsCommandStillTakesEffect() async throws {
        let store = Slow()
        let app = try App(store: store, setup: alice())
        let call = Task { try await app.client.setToken(firstToken, for: app.account) }
        await withCheckedContinuation { reached in
            Thread.detachNewThread {
                store.asked.wait()
                reached.resume()
            }
        }
        call.cancel()
        await #expect(throws: CancellationError.self, "it waited for the store") {
            try await within(patience) { try await call.value }
        }
        store.opened.signal()
        // A call after the cancelled one is served after it.
        #expect(try await app.client.setToken(firstToken, for: app.account) == .taken)
        app.client.shutdown()
    }

    @Test func theEndOfTheClientEndsEveryWaitingFunction() async throws {
        let app = try App(store: MemoryStore(), setup: alice())
        let events = app.client.events()
        let reader = Task { for await _ in events {} }
        app.client.shutdown()
        app.client.shutdown()
        try await within(patience) { await reader.value }
        do {
            try await app.client.register(app.account)
            Issue.record("it registered without a client")
        } catch SipWakeError.shutDown {}
        #expect(app.client.push(["ntype": "0", "nfrom": "1"], channel: .pushKit).duty == .reportCall)
    }

    @Test func aStoreThatThrowsLeadsToAnEventAndNeverToACrash() async throws {
        let app = try App(store: Broken(), setup: alice())
        let reason = try await app.next { event -> String? in
            if case .storeFailed(_, let reason) = event { reason } else { nil }
        }
        #expect(reason.contains("disk full"))
        #expect(try await app.client.setToken(firstToken, for: app.account) == .notYetDurable)
    }

    @Test func aStoreThatIsShutIsNotEmptyAndIsWrittenOnceItOpens() async throws {
        let store = Lockable()
        let before = try App(store: store, setup: alice())
        #expect(try await before.client.setToken(firstToken, for: before.account) == .taken)
        before.client.shutdown()
        let kept = store.count
        store.setShut(true)
        let app = try App(store: store, setup: alice())
        #expect(try await app.client.setToken(secondToken, for: app.account) == .notYetDurable)
        #expect(store.count == kept, "nothing was written over what could not be read")
        store.setShut(false)
        try await app.client.storeAvailable()
        try await app.next { if case .durable = $0 { () } else { nil } }
        #expect(try await app.client.setToken(secondToken, for: app.account) == .taken)
        app.client.shutdown()
    }

    @Test func aPanicInRustArrivesAsAnError() async throws {
        do {
            try translating { try panicNow() }
            Issue.record("no error")
        } catch SipWakeError.bug(let reason) { #expect(reason.contains("on purpose")) }
        do {
            _ = try await waiting { try await panicWhenAwaited() }
            Issue.record("no error")
        } catch SipWakeError.bug(let reason) { #expect(reason.contains("on purpose")) }
    }

    @Test func anErrorHasItsFieldAndItsReasonAndNoSecret() async throws {
        let bad = AccountConfig(aor: "alice@example.com", credentials: .password(password: "hun\nter2"))
        do {
            _ = try SipWakeClient(store: MemoryStore(), accounts: [AccountSetup(account: bad)])
            Issue.record("no error")
        } catch let error as SipWakeError {
            guard case .invalidField(let name, _) = error else { throw error }
            #expect(name == "credentials.password")
            #expect(error.localizedDescription.hasPrefix("credentials.password: "))
        }
        var dumped = ""
        dump(AccountSetup(account: bad), to: &dumped)
        #expect(!"\(AccountSetup(account: bad))\(dumped)".contains("hun"))

        let app = try App(store: MemoryStore(), setup: AccountSetup(account: alice().account))
        await #expect(throws: SipWakeError.self) { try await app.client.setToken(firstToken, for: app.account) }
        do { try await app.client.decline(UUID()) } catch SipWakeError.noSuchCall {}
        do { try await app.client.register(AccountID(rawValue: "x")) } catch SipWakeError.noSuchAccount {}
    }

    @Test func clientsComeAndGoWithoutLeavingMemoryBehind() throws {
        let cycles = ProcessInfo.processInfo.environment["SIPWAKE_TEST_CYCLES"].flatMap { Int($0) } ?? 1000
        func cycle() throws {
            for _ in 0..<cycles / 2 { _ = try SipWakeClient(store: MemoryStore(), accounts: [alice()]) }
        }
        try cycle()
        let halfway = try resident()
        try cycle()
        Thread.sleep(forTimeInterval: 0.5)
        let grown = try resident() - halfway
        print("\(cycles) clients: \(halfway / 1024) MiB halfway, \(grown) KiB more at the end")
        // A client that is never freed would cost some 100 KiB.
        #expect(grown < 8 * 1024 + cycles / 2)
    }

    /// The process's memory in kilobytes, on systems with /proc.
    private func resident() throws -> Int {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return 0 }
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS") })
        return try #require(Int(line.filter(\.isNumber)))
    }
}
