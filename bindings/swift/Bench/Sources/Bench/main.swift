// Measures and asserts nothing.

import CallKit
import Foundation
import PushKit
import SipWake
import SipWakeApple

let call: [AnyHashable: Any] = [
    "ntype": "0", "nfrom": "1234", "nfromusername": "John", "ntouser": "alice", "ncallid": "c1@example.com",
]

func nanoseconds(_ work: () -> Void) -> UInt64 {
    let start = DispatchTime.now().uptimeNanoseconds
    work()
    return DispatchTime.now().uptimeNanoseconds - start
}

func micros(_ nanoseconds: UInt64) -> String {
    String(format: "%.1f", Double(nanoseconds) / 1_000)
}

let first = nanoseconds { _ = readPush(call, channel: .pushKit) }
print("  first call: \(micros(first)) µs")
for _ in 0..<2_000 { _ = readPush(call, channel: .pushKit) }
let samples = (0..<20_000).map { _ in nanoseconds { _ = readPush(call, channel: .pushKit) } }.sorted()
print("  payload to action, warm: \(micros(samples[samples.count / 2])) µs median, \(micros(samples[samples.count * 99 / 100])) µs p99 (budget 30 µs)")
let json = (0..<20_000).map { _ in nanoseconds { _ = try? JSONSerialization.data(withJSONObject: call) } }.sorted()
print("  beside it, Foundation's JSONSerialization of the same dictionary: \(micros(json[json.count / 2])) µs median")

/// Never called, because no call is answered here.
@MainActor
final class Silent: CallMedia {
    func answer(_ call: UUID, to offer: SessionDescription?) async throws -> SessionDescription { SessionDescription(sdp: "v=0") }
    func connected(_ call: UUID, answer: SessionDescription?) {}
    func ended(_ call: UUID, _ reason: EndReason) {}
}

// From PushKit's call of the delegate until it returns. By then CallKit must know the call. Both are fakes.
let setup = AccountSetup(
    account: AccountConfig(aor: "sip:alice@mock.invalid", credentials: .password(password: "x")),
    push: PushConfig(provider: .apns, package: "com.example.app"))
let client = try SipWakeClient(store: MemoryStore(), accounts: [setup])
let calls = CallKitBridge(client, media: Silent())
let pushes = PushKitBridge(client, calls: calls, accounts: [])
if let registry = PKPushRegistry.played {
    let reports = (0..<50).map { number in
        let push = call.merging(["ncallid": "bench-\(number)@example.com"]) { $1 }
        return nanoseconds { _ = registry.deliver(push) }
    }.sorted()
    let late = PlayedCallKit.shared.violations.isEmpty ? "" : "; VIOLATIONS \(PlayedCallKit.shared.violations)"
    print("  delegate call to report: \(micros(reports[25])) µs median, \(micros(reports[49])) µs at most of 50 (budget 1 ms)\(late)")
}
withExtendedLifetime((calls, pushes)) { client.shutdown() }
