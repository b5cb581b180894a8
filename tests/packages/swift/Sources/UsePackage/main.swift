import Foundation
import SipWake

struct Unexpected: Error { let what: String }

func expect(_ holds: Bool, _ what: String) throws {
    if !holds { throw Unexpected(what: what) }
}

final class Memory: StateStore, @unchecked Sendable {
    private let lock = NSLock()
    private var records: [String: Data] = [:]

    func load(key: String) -> Data? { lock.withLock { records[key] } }
    func save(key: String, bytes: Data) { lock.withLock { records[key] = bytes } }
    func remove(key: String) { lock.withLock { records[key] = nil } }
}

let call: [AnyHashable: Any] = [
    "ntype": "0", "nfrom": "1234", "nfromusername": "John", "ntouser": "alice", "ncallid": "c1@example.com",
]

// Into Rust and back, through the header and the Swift of the package.
let action = readPush(call, channel: .pushKit)
try expect(action.callID == "c1@example.com", "a push for a call is read as \(action)")

// An account that Rust takes, and a store in Swift that Rust calls.
let setup = AccountSetup(
    account: AccountConfig(
        aor: "sip:alice@example.com", credentials: .password(password: "wonderland"), gateways: ["127.0.0.1:9"]),
    push: PushConfig(provider: .apns, package: "com.example.app", teamID: "ABCDE12345"))
let store = Memory()
let client = try SipWakeClient(store: store, accounts: [setup])
let known = client.push(call, channel: .pushKit)
guard case .incomingCall = known.kind else { throw Unexpected(what: "the client knows its account, and reads \(known)") }

// An error of Rust's comes as one of Swift's.
do {
    _ = try SipWakeClient(
        store: store,
        accounts: [AccountSetup(account: AccountConfig(aor: "nobody", credentials: .password(password: "x")), push: setup.push)])
    throw Unexpected(what: "an AOR that is none is taken")
} catch let error as SipWakeError {
    guard case .invalidField = error else { throw error }
}
print("The package's Swift and header work with the library of this machine.")
