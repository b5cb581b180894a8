// A phone or a simulator cannot start programs, so this module is empty there.
#if os(Linux) || os(macOS)
    import Foundation

    #if canImport(Glibc)
        import Glibc
    #else
        import Darwin
    #endif

    /// The mock gateway could not be found or started, it refused an operation, or something did not come in time.
    public struct MockGatewayError: Error, CustomStringConvertible {
        public let description: String

        init(_ description: String) {
            self.description = description
        }
    }

    /// A SIP registrar, a push gateway and a fake FCM and APNs on loopback. It is a separate program, driven through its control port.
    ///
    /// The program is not in this package: `cargo install mock-gateway`. This class looks for it in the environment variable
    /// `SIPWAKE_TESTING_MOCK` (a path), then in the folders of `PATH`. The program ends with this object. You can use it from any thread.
    public final class MockGateway: @unchecked Sendable {
        private let process = Process()
        private let stdin = Pipe()
        private let port: UInt16
        private let pushes: Lines
        private let turn = NSLock()
        /// The address for SIP over UDP and TCP: `host:port`.
        public let address: String
        /// The kind of server that it plays.
        public let profile: String

        /// - Parameters:
        ///   - profile: the kind of server: `rfc8599`, `xmpush`, `mizutech`, `opensips`, `flexisip`, `portsip`, `kamailio` or `none`
        ///   - user: the one user that it knows
        ///   - password: that user's password
        ///   - habits: how it differs from the standards. `mock-gateway --list-habits` prints them
        /// - Throws: ``MockGatewayError`` if the program is not there or does not start
        public init(profile: String = "mizutech", user: String = "alice", password: String = "wonderland", habits: [String] = []) throws {
            self.profile = profile
            let stdout = Pipe()
            process.executableURL = try program()
            process.arguments =
                ["--profile", profile, "--user", "\(user):\(password)", "--exit-with-stdin"] + habits.flatMap { ["--habit", $0] }
            process.standardInput = stdin
            process.standardOutput = stdout
            do { try process.run() } catch { throw MockGatewayError("the mock gateway could not be started: \(error.localizedDescription)") }
            let first = Lines(descriptor: stdout.fileHandleForReading.fileDescriptor).next()
            guard let first, let announced = object(first), let address = announced["address"] as? String,
                let port = (announced["control"] as? String)?.split(separator: ":").last.flatMap({ UInt16($0) })
            else { throw MockGatewayError("the mock gateway ended at once; standard error says why") }
            (self.address, self.port) = (address, port)
            pushes = try Lines(port: port)
            try pushes.write(#"{"id":0,"op":"subscribe","what":["pushes"]}"#)
            _ = pushes.next()
            withExtendedLifetime(stdout) {}
        }

        deinit {
            try? stdin.fileHandleForWriting.close()
            if process.isRunning { process.waitUntilExit() }
        }

        /// Sends any request that the control port knows, and returns the whole answer.
        ///
        /// - Throws: ``MockGatewayError`` if it is refused, with the mock's reason
        @discardableResult
        public func ask(_ op: String, _ fields: [String: Any] = [:]) throws -> [String: Any] {
            // Each request has its own connection, so that waiting for a call does not block others.
            let control = try Lines(port: port)
            let request = fields.merging(["id": 1, "op": op]) { field, _ in field }
            guard JSONSerialization.isValidJSONObject(request) else { throw MockGatewayError("\(op): a field is no JSON") }
            try control.write(String(decoding: JSONSerialization.data(withJSONObject: request), as: UTF8.self))
            guard let line = control.next(), let answer = object(line) else { throw MockGatewayError("\(op): no answer") }
            guard answer["ok"] as? Bool == true else { throw MockGatewayError("\(op): \(line)") }
            return answer
        }

        /// The next push's payload as an app receives it.
        ///
        /// - Throws: ``MockGatewayError`` if none comes within two minutes
        public func nextPush() throws -> [AnyHashable: Any] {
            turn.lock()
            defer { turn.unlock() }
            while let line = pushes.next() {
                guard let push = object(line)?["push"] as? [String: Any] else { continue }
                return try found(push["payload"] as? [String: Any], "payload", of: "push")
            }
            throw MockGatewayError("no push came")
        }

        /// Calls a user and returns the call's number. A user who is asleep gets a push first.
        ///
        /// - Parameter fields: the control port's fields, for example `["ring_time_ms": 30_000]`. `user` is `alice` unless you name
        ///   another
        public func placeCall(_ fields: [String: Any] = [:]) throws -> Int {
            let answer = try ask("place_call", fields.merging(["user": "alice"]) { $1 })
            return try found(call(answer)["call"] as? Int, "call", of: "place_call")
        }

        /// Waits until a call is in a state, for example `ringing`, `answered` or `cancelled`.
        ///
        /// - Throws: ``MockGatewayError`` if it never is
        public func waitCall(_ number: Int, _ state: String) throws {
            let seen = call(try ask("wait_call", ["call": number, "state": state, "timeout_ms": 120_000]))["state"] as? String
            guard seen == state else { throw MockGatewayError("the call is \(seen ?? "nowhere"), not \(state)") }
        }

        /// Makes the caller give up or hang up.
        public func cancelCall(_ number: Int) throws {
            try ask("cancel", ["call": number])
        }

        /// Treats a user's phone as asleep until it registers, and closes its connections.
        public func sleep(user: String = "alice") throws {
            try ask("sleep", ["user": user, "close": true])
        }

        /// From now on the server differs from the standards in these ways, and in no others.
        public func setHabits(_ habits: [String]) throws {
            try ask("set_habits", ["habits": habits])
        }

        /// The registrar's bindings of a user, in the words of the control port.
        public func bindings(user: String = "alice") throws -> [[String: Any]] {
            try found(try ask("bindings", ["user": user])["bindings"] as? [[String: Any]], "bindings", of: "bindings")
        }

        /// The push tokens that a user's bindings carry.
        public func tokens(user: String = "alice") throws -> [String] {
            try bindings(user: user).compactMap { ($0["push"] as? [String: Any])?["token"] as? String }
        }

        /// What the client did against the standards. A test expects it to be empty.
        public func violations() throws -> [Any] {
            try found(try ask("violations")["violations"] as? [Any], "violations", of: "violations")
        }
    }

    /// Finds the program.
    private func program() throws -> URL {
        let environment = ProcessInfo.processInfo.environment
        if let named = environment["SIPWAKE_TESTING_MOCK"] { return URL(fileURLWithPath: named) }
        let found = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/mock-gateway" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
        guard let found else {
            throw MockGatewayError("no mock-gateway on PATH: cargo install mock-gateway, or name the program in SIPWAKE_TESTING_MOCK")
        }
        return URL(fileURLWithPath: found)
    }

    private func object(_ line: String) -> [String: Any]? {
        (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any]
    }

    /// The call, either the answer itself or a part of it.
    private func call(_ answer: [String: Any]) -> [String: Any] {
        answer["call"] as? [String: Any] ?? answer
    }

    private func found<T>(_ value: T?, _ name: String, of op: String) throws -> T {
        guard let value else { throw MockGatewayError("\(op): the answer has no \(name)") }
        return value
    }

    /// Lines over a file descriptor. Waits 130 seconds for a socket.
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
            guard connected == 0 else { throw MockGatewayError("the mock gateway's control port is gone") }
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
            guard written == bytes.count else { throw MockGatewayError("the mock gateway's control port was closed") }
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
#endif
