import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The mock gateway as a program of its own, driven through its control port. See tests/mock-gateway/README.md.
final class MockGateway: @unchecked Sendable {
    private let process = Process()
    private let stdin = Pipe()
    private let control: Lines
    private let subscription: Lines
    /// Where it listens for SIP over UDP and TCP.
    let address: String
    let profile: String

    init(profile: String = "mizutech") throws {
        self.profile = profile
        let folder = try #require(ProcessInfo.processInfo.environment["SIPWAKE_TEST_BINARIES"], "set by scripts/test")
        let stdout = Pipe()
        process.executableURL = URL(fileURLWithPath: folder + "/mock-gateway")
        process.arguments = ["--profile", profile, "--user", "alice:wonderland", "--exit-with-stdin"]
        process.standardInput = stdin
        process.standardOutput = stdout
        try process.run()
        let announced = try object(try #require(Lines(descriptor: stdout.fileHandleForReading.fileDescriptor).next()))
        address = try #require(announced["address"] as? String)
        let port = try #require((announced["control"] as? String)?.split(separator: ":").last.flatMap { UInt16($0) })
        control = try Lines(port: port)
        subscription = try Lines(port: port)
        try subscription.write(#"{"id":0,"op":"subscribe","what":["pushes"]}"#)
        _ = subscription.next()
        withExtendedLifetime(stdout) {}
    }

    deinit {
        try? stdin.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    @discardableResult
    func ask(_ op: String, _ fields: [String: Any] = [:]) throws -> [String: Any] {
        let request = fields.merging(["id": 1, "op": op]) { field, _ in field }
        try control.write(String(decoding: JSONSerialization.data(withJSONObject: request), as: UTF8.self))
        let answer = try object(try #require(control.next()))
        try #require(answer["ok"] as? Bool == true, "\(op): \(answer)")
        return answer
    }

    /// The next push's payload as an app receives it.
    func nextPush() throws -> [AnyHashable: Any] {
        while true {
            let line = try object(try #require(subscription.next(), "no push came"))
            if let push = line["push"] as? [String: Any] { return try #require(push["payload"] as? [String: Any]) }
        }
    }

    func placeCall(_ fields: [String: Any] = [:]) throws -> Int {
        let answer = try ask("place_call", fields.merging(["user": "alice"]) { $1 })
        return try #require(((answer["call"] as? [String: Any])?["call"] ?? answer["call"]) as? Int)
    }

    func waitCall(_ call: Int, _ state: String) throws {
        let answer = try ask("wait_call", ["call": call, "state": state, "timeout_ms": 120_000])
        let seen = ((answer["call"] as? [String: Any]) ?? answer)["state"] as? String
        try #require(seen == state)
    }

    func tokens() throws -> [String] {
        try bindings().compactMap { ($0["push"] as? [String: Any])?["token"] as? String }
    }

    func bindings() throws -> [[String: Any]] {
        try #require(try ask("bindings", ["user": "alice"])["bindings"] as? [[String: Any]])
    }

    func violations() throws -> [Any] {
        try #require(try ask("violations")["violations"] as? [Any])
    }
}

private func object(_ line: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
}

/// Lines over a file descriptor, with 20 seconds' patience on a socket.
private final class Lines {
    private let descriptor: Int32
    private let owned: Bool
    private var rest: [UInt8] = []

    init(descriptor: Int32) {
        self.descriptor = descriptor
        owned = false
    }

    init(port: UInt16) throws {
        #if canImport(Glibc)
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        owned = true
        var patience = timeval(tv_sec: 130, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(connected == 0)
    }

    deinit {
        if owned { close(descriptor) }
    }

    func write(_ line: String) throws {
        let bytes = Array((line + "\n").utf8)
        #if canImport(Glibc)
            let written = Glibc.write(descriptor, bytes, bytes.count)
        #else
            let written = Darwin.write(descriptor, bytes, bytes.count)
        #endif
        try #require(written == bytes.count)
    }

    func next() -> String? {
        while true {
            if let end = rest.firstIndex(of: 0x0a) {
                defer { rest.removeSubrange(...end) }
                return String(decoding: rest[..<end], as: UTF8.self)
            }
            var chunk = [UInt8](repeating: 0, count: 65536)
            let count = read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return nil }
            rest += chunk[..<count]
        }
    }
}
