// Measures and asserts nothing: how much memory a Notification Service Extension takes that has only sipwake in it.
//
//   Extension prepare FILE        writes the records of an app and the pushes of a server
//   Extension open FILE PUSH      opens a push of the file in this new process, as an extension does: plain, sealed or call

import Foundation
import SipWake
import SipWakeApple
import SipWakeTesting
import UserNotifications

/// The store that app and extension share.
final class Records: StateStore, @unchecked Sendable {
    // Guards `records`.
    private let lock = NSLock()
    private var records: [String: Data]

    init(_ records: [String: Data] = [:]) { self.records = records }

    var all: [String: Data] { lock.withLock { records } }
    func load(key: String) -> Data? { lock.withLock { records[key] } }
    func save(key: String, bytes: Data) { lock.withLock { records[key] = bytes } }
    func remove(key: String) { lock.withLock { records[key] = nil } }
}

final class Service: SipWakeNotificationService {
    nonisolated(unsafe) static var records = Records()
    override var store: (any StateStore)? { Service.records }
}

/// What the extension showed.
final class Shown: @unchecked Sendable {
    // Guards `body`.
    private let lock = NSLock()
    private var body: String??

    func set(_ content: UNNotificationContent) { lock.withLock { body = .some((content as? UNMutableNotificationContent)?.body) } }
    func take() -> String?? {
        lock.withLock {
            defer { body = nil }
            return body
        }
    }
}

/// The longest text that still fits into Apple's 4,096 bytes for a notification.
let text = String(repeating: "see you at eight, ", count: 100) + "bye"

func prepare(_ file: String) async throws {
    let gateway = try MockGateway()
    let records = Records()
    let setup = AccountSetup(
        account: AccountConfig(aor: "sip:alice@mock.example", credentials: .password(password: "wonderland"), gateways: [gateway.address]),
        push: PushConfig(provider: .apns, package: "com.example.app"))
    let client = try SipWakeClient(store: records, accounts: [setup])
    let account = try setup.account.id()
    let key = try await client.pushKey()
    try gateway.ask("seal_for", ["user": "alice", "p256dh": key.p256dh, "auth": key.auth])
    try await client.setToken(String(repeating: "0a", count: 32), for: account)
    try await client.register(account)
    while try gateway.tokens().isEmpty { try await Task.sleep(for: .milliseconds(10)) }
    try gateway.ask("send_push", ["user": "alice", "ntype": 1, "text": text])
    let pushes: [String: Any] = [
        "plain": ["ntype": "1", "nfrom": "1234", "nmsg": text],
        "sealed": try gateway.nextPush(),
        "call": ["ntype": "0", "nfrom": "1234", "ncallid": "c1@example.com"],
    ]
    client.shutdown()
    let all = ["records": records.all.mapValues { $0.base64EncodedString() }, "pushes": pushes] as [String: Any]
    try JSONSerialization.data(withJSONObject: all).write(to: URL(fileURLWithPath: file))
}

/// A row of a file of the kernel, in KiB.
func kib(_ file: String, _ row: String) -> Int {
    let lines = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
    let line = lines.split(separator: "\n").first { $0.hasPrefix("\(row):") }
    return line.flatMap { $0.split(separator: " ").dropFirst().first }.flatMap { Int($0) } ?? -1
}

/// What is written and belongs to this process alone, as iOS counts it: without pages of files that can be read again.
func written() -> Int { kib("/proc/self/smaps_rollup", "Private_Dirty") }

func open(_ file: String, _ name: String) throws {
    let all = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: file))) as? [String: Any]
    guard let records = all?["records"] as? [String: String], let push = (all?["pushes"] as? [String: Any])?[name] as? [String: Any] else {
        throw NotPrepared()
    }
    Service.records = Records(records.compactMapValues { Data(base64Encoded: $0) })
    let shown = Shown()
    func run() -> String?? {
        Service().didReceive(UNNotificationRequest(remote: push)) { shown.set($0) }
        for _ in 0..<1_000 {
            if let content = shown.take() { return content }
            usleep(1_000)
        }
        return nil
    }
    let before = written()
    let first = run()
    let after = written()
    for _ in 0..<1_000 { _ = run() }
    let later = written()
    let opened =
        switch first {
        case .some(.some(text)): "shown"
        case .some(nil): "handed to the app"
        default: "NOT SHOWN"
        }
    let peak = kib("/proc/self/status", "VmHWM")
    print("  extension, \(name), \(opened): \(after) KiB written, of them \(after - before) by the push; \(later) after 1,000 more; resident at most \(peak)")
}

struct NotPrepared: Error {}

let arguments = CommandLine.arguments
switch arguments.dropFirst().first {
case "prepare": try await prepare(arguments[2])
case "open": try open(arguments[2], arguments[3])
default: print("Extension prepare FILE | open FILE PUSH")
}
