#if SIPWAKE_STANDINS || (canImport(dnssd) && canImport(Darwin))
    import Foundation
    import dnssd
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Asks the system for SRV and NAPTR records, with its DNS settings, its VPNs and its cache. On Apple's systems it is the default of
    /// a client.
    public struct SystemResolver: Resolver {
        /// How long to wait for a name. The client gives up on a server after ten seconds.
        static let patience: TimeInterval = 4

        public init() {}

        public func srv(_ name: String) throws -> [SRVRecord] {
            try records(name, type: 33).compactMap { data in
                var data = RecordData(data)
                guard let priority = data.number(), let weight = data.number(), let port = data.number(), let target = data.name() else {
                    return nil
                }
                return SRVRecord(priority: priority, weight: weight, port: port, target: target)
            }
        }

        public func naptr(_ domain: String) throws -> [NAPTRRecord] {
            try records(domain, type: 35).compactMap { data in
                var data = RecordData(data)
                guard let order = data.number(), let preference = data.number(), let flags = data.text(), let service = data.text(),
                    data.text() != nil, let replacement = data.name()
                else { return nil }
                return NAPTRRecord(order: order, preference: preference, flags: flags, service: service, replacement: replacement)
            }
        }

        private func records(_ name: String, type: UInt16) throws -> [Data] {
            let answers = Answers(type)
            // Asks for the whole name, without the phone's search domains. There is an answer even if there is no record.
            let (whole, flags) = (name.hasSuffix(".") ? name : name + ".", DNSServiceFlags(0x1000))
            var service: DNSServiceRef?
            let status = DNSServiceQueryRecord(
                &service, flags, 0, whole, type, 1,
                { _, flags, _, error, _, type, _, length, data, _, context in
                    guard let context else { return }
                    let answers = Unmanaged<Answers>.fromOpaque(context).takeUnretainedValue()
                    answers.take(type, error == 0 ? data.map { Data(bytes: $0, count: Int(length)) } : nil, more: flags & 1 != 0)
                }, Unmanaged.passUnretained(answers).toOpaque())
            guard status == 0, let service else { throw DNSError(code: Int(status)) }
            defer { DNSServiceRefDeallocate(service) }
            let deadline = Date() + Self.patience
            while !answers.complete {
                var socket = pollfd(fd: DNSServiceRefSockFD(service), events: Int16(POLLIN), revents: 0)
                let left = deadline.timeIntervalSinceNow
                if left <= 0 { break }
                guard poll(&socket, 1, Int32((left * 1000).rounded(.up))) > 0 else { continue }
                let status = DNSServiceProcessResult(service)
                guard status == 0 else { throw DNSError(code: Int(status)) }
            }
            return answers.found
        }
    }

    /// The error of the system's DNS service.
    public struct DNSError: LocalizedError, Hashable, Sendable {
        /// A `DNSServiceErrorType`.
        public let code: Int

        public init(code: Int) {
            self.code = code
        }

        public var errorDescription: String? { "DNS service error \(code)" }
    }

    /// The answers so far. It is used on one thread, because `DNSServiceProcessResult` makes the callbacks.
    private final class Answers {
        private let type: UInt16
        private(set) var found: [Data] = []
        private(set) var complete = false

        init(_ type: UInt16) {
            self.type = type
        }

        /// `data` is nil if there is no such record. Aliases on the way are answers, too, of another type.
        func take(_ type: UInt16, _ data: Data?, more: Bool) {
            if let data, type == self.type { found.append(data) }
            complete = !more && (data == nil || type == self.type)
        }
    }

    /// Reads a record's data (RFC 1035 section 3.3, RFC 2782, RFC 3403 section 4). The system has undone the compression of names.
    private struct RecordData {
        private var rest: Data.SubSequence

        init(_ data: Data) {
            rest = data[...]
        }

        mutating func number() -> UInt16? {
            guard rest.count >= 2 else { return nil }
            return UInt16(rest.removeFirst()) << 8 | UInt16(rest.removeFirst())
        }

        /// A character-string: its length, then that many bytes.
        mutating func text() -> String? {
            guard let length = rest.popFirst(), rest.count >= length else { return nil }
            let text = rest.prefix(Int(length))
            rest = rest.dropFirst(Int(length))
            return String(data: text, encoding: .utf8)
        }

        /// A domain name. `.` is the root.
        mutating func name() -> String? {
            var name = ""
            while let label = text() {
                if label.isEmpty { return name.isEmpty ? "." : name }
                // A label with a dot inside would be read as two.
                guard label.utf8.count <= 63, !label.contains(".") else { return nil }
                name += label + "."
            }
            return nil
        }
    }
#endif
