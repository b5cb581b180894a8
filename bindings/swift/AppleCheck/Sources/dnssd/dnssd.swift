import Foundation

public typealias DNSServiceRef = OpaquePointer
public typealias DNSServiceFlags = UInt32
public typealias DNSServiceErrorType = Int32
public typealias DNSServiceQueryRecordReply =
    @convention(c) (
        DNSServiceRef?, DNSServiceFlags, UInt32, DNSServiceErrorType, UnsafePointer<CChar>?, UInt16, UInt16, UInt16, UnsafeRawPointer?,
        UInt32, UnsafeMutableRawPointer?
    ) -> Void

public func DNSServiceQueryRecord(
    _ service: UnsafeMutablePointer<DNSServiceRef?>, _ flags: DNSServiceFlags, _ interface: UInt32, _ name: UnsafePointer<CChar>,
    _ type: UInt16, _ class: UInt16, _ callback: DNSServiceQueryRecordReply?, _ context: UnsafeMutableRawPointer?
) -> DNSServiceErrorType {
    PlayedDNS.shared.ask(service, flags, String(cString: name), type, callback, context)
}

public func DNSServiceRefSockFD(_ service: DNSServiceRef?) -> Int32 { PlayedDNS.shared.query(service)?.read ?? -1 }
public func DNSServiceProcessResult(_ service: DNSServiceRef?) -> DNSServiceErrorType { PlayedDNS.shared.process(service) }
public func DNSServiceRefDeallocate(_ service: DNSServiceRef?) { PlayedDNS.shared.over(service) }

/// The system's DNS service: it answers over a socket, can have several answers for a name, and waits for unknown names.
public final class PlayedDNS: @unchecked Sendable {
    public static let shared = PlayedDNS()

    /// An answer: a record's type and data, or the code of an error.
    public enum Answer: Sendable {
        case record(type: UInt16, Data)
        case error(Int32)
    }

    final class Query {
        let answers: [Answer]
        let type: UInt16
        let callback: DNSServiceQueryRecordReply
        let context: UnsafeMutableRawPointer?
        let read: Int32
        let write: Int32
        var next = 0

        init(_ answers: [Answer], _ type: UInt16, _ callback: @escaping DNSServiceQueryRecordReply, _ context: UnsafeMutableRawPointer?) {
            var ends: [Int32] = [0, 0]
            pipe(&ends)
            (self.answers, self.type, self.callback, self.context, read, write) = (answers, type, callback, context, ends[0], ends[1])
        }
    }

    // Guards all fields.
    private let lock = NSRecursiveLock()
    private var zone: [String: [Answer]] = [:]
    private var open: [DNSServiceRef: Query] = [:]
    private var broken: [String] = []

    public func reset() { lock.withLock { (zone, broken) = ([:], []) } }
    /// The answers for a name, without its last dot, and a type. A name that is not here is never answered.
    public func answer(_ name: String, _ type: UInt16, _ answers: [Answer]) { lock.withLock { zone["\(name). \(type)"] = answers } }
    public var violations: [String] { lock.withLock { broken + (open.isEmpty ? [] : ["a query that was never given up"]) } }

    func ask(
        _ service: UnsafeMutablePointer<DNSServiceRef?>, _ flags: DNSServiceFlags, _ name: String, _ type: UInt16,
        _ callback: DNSServiceQueryRecordReply?, _ context: UnsafeMutableRawPointer?
    ) -> DNSServiceErrorType {
        lock.withLock {
            guard let callback, name.utf8.count < 1009 else { return -65540 }
            if !name.hasSuffix(".") { broken.append("a name to be tried with search domains") }
            if flags & 0x1000 == 0 { broken.append("the query does not ask for an answer without a record, so it waits endlessly") }
            let query = Query(zone["\(name) \(type)"] ?? [], type, callback, context)
            let ref = OpaquePointer(Unmanaged.passRetained(query).toOpaque())
            open[ref] = query
            if !query.answers.isEmpty { signal(query) }
            service.pointee = ref
            return 0
        }
    }

    func query(_ service: DNSServiceRef?) -> Query? { lock.withLock { service.flatMap { open[$0] } } }

    func process(_ service: DNSServiceRef?) -> DNSServiceErrorType {
        lock.withLock {
            guard let service, let query = open[service] else { return -65540 }
            guard query.next < query.answers.count else {
                broken.append("waits in DNSServiceProcessResult for what may never come")
                return -65563
            }
            var byte: UInt8 = 0
            _ = Foundation.read(query.read, &byte, 1)
            let more: UInt32 = query.next + 1 < query.answers.count ? 1 : 0
            let answer = query.answers[query.next]
            query.next += 1
            if more == 1 { signal(query) }
            switch answer {
            case .record(let type, let data):
                data.withUnsafeBytes { query.callback(service, 2 | more, 0, 0, nil, type, 1, UInt16(data.count), $0.baseAddress, 60, query.context) }
            case .error(let code):
                query.callback(service, more, 0, code, nil, query.type, 1, 0, nil, 0, query.context)
            }
            return 0
        }
    }

    func over(_ service: DNSServiceRef?) {
        lock.withLock {
            guard let service, let query = open.removeValue(forKey: service) else { return broken.append("given up twice") }
            close(query.read)
            close(query.write)
            Unmanaged<Query>.fromOpaque(UnsafeRawPointer(service)).release()
        }
    }

    private func signal(_ query: Query) {
        var byte: UInt8 = 1
        _ = Foundation.write(query.write, &byte, 1)
    }
}
