// Measures and asserts nothing.

import Foundation
import SipWake

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
