import Foundation
import SipWake
import SipWakeTesting
import Testing

/// Opens `{"sealed": "…"}`, throws for `{"broken": …}` and knows nothing else.
private struct Envelope: PayloadDecryptor {
    func decrypt(_ payload: [String: Any]) throws -> [String: String]? {
        if payload["broken"] != nil { throw Timeout() }
        guard let caller = payload["sealed"] as? String else { return nil }
        return ["ntype": "0", "nfrom": caller, "ncallid": "sealed-call"]
    }
}

private final class Heard<T: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var all: [T] = []

    func take(_ one: T) { lock.withLock { all.append(one) } }
    var list: [T] { lock.withLock { all } }
}

/// Knows the address of one server, and throws for every other name.
private struct Zone: Resolver {
    let port: UInt16

    func addresses(of host: String) throws -> [String]? {
        if host == "sip1.example.test" { return ["no address", "127.0.0.1"] }
        throw Timeout()
    }

    func naptr(_ domain: String) throws -> [NAPTRRecord] {
        [NAPTRRecord(order: 1, preference: 1, flags: "s", service: "SIP+D2T", replacement: "_odd._tcp.example.test.")]
    }

    func srv(_ name: String) throws -> [SRVRecord] {
        if name == "_odd._tcp.example.test" { return [SRVRecord(priority: 1, weight: 1, port: port, target: "sip1.example.test.")] }
        throw Timeout()
    }
}

@Suite struct OptionsTests {
    @Test func aServerIsFoundByTheAppsOwnResolver() async throws {
        let gateway = try MockGateway()
        let port = try #require(gateway.address.split(separator: ":").last.flatMap { UInt16($0) })
        var setup = alice(gateway)
        setup.account.gateways = ["example.test"]
        let client = try SipWakeClient(
            store: MemoryStore(), accounts: [setup], options: ClientOptions(resolver: Zone(port: port)))
        let events = client.events()
        let account = try setup.account.id()
        try await client.setToken(firstToken, for: account)
        try await client.register(account)
        let registered = try await within(patience) {
            for await event in events {
                if case .registered = event { return true }
                if case .registrationFailed(_, let failure) = event {
                    Issue.record("\(failure)")
                    return false
                }
            }
            throw Timeout()
        }
        #expect(registered)
    }

    @Test func aSealedPushIsACallWithItsCaller() throws {
        let options = ClientOptions(decryptor: Envelope())
        let client = try SipWakeClient(store: MemoryStore(), accounts: [alice()], options: options)
        let action = client.push(["aps": ["alert": "…"], "sealed": "1234"], channel: .pushKit)
        #expect(action.kind == .incomingCall(video: false))
        #expect(action.caller == "1234")
        #expect(readPush(["sealed": "1234"], channel: .apnsAlert, opening: Envelope()).uuid == action.uuid)
    }

    @Test func aPushThatCannotBeOpenedIsStillReported() throws {
        for payload: [AnyHashable: Any] in [["broken": 1], ["other": "x"], [:]] {
            let action = readPush(payload, channel: .pushKit, opening: Envelope())
            #expect(action.duty == .reportCall)
            #expect(action.caller == nil)
        }
        #expect(readPush(["broken": 1, "ntype": 0, "nfrom": "77"], channel: .pushKit, opening: Envelope()).caller == "77")
    }

    @Test func anInvalidOptionIsRefusedWithItsName() {
        for (options, field) in [
            (ClientOptions(pins: ["sha1/x"]), "options.pins"),
            (ClientOptions(authorities: Data("x".utf8)), "options.authorities"),
            (ClientOptions(clientCertificate: ClientCertificate(chain: Data(), key: Data())), "options.client_certificate"),
        ] {
            #expect(refusedField(options) == field)
        }
        #expect(!"\(ClientCertificate(chain: Data("abc".utf8), key: Data("xyz".utf8)))".contains("xyz"))
    }

    private func refusedField(_ options: ClientOptions) -> String? {
        do {
            _ = try SipWakeClient(store: MemoryStore(), options: options)
            return nil
        } catch SipWakeError.invalidField(let name, _) {
            return name
        } catch {
            return "\(error)"
        }
    }

    @Test func aTraceShowsTheMessagesAndNoSecret() async throws {
        let gateway = try MockGateway()
        let heard = Heard<TracedMessage>()
        let setup = alice(gateway)
        let client = try SipWakeClient(
            store: MemoryStore(), accounts: [setup], options: ClientOptions(trace: { heard.take($0) }))
        let account = try setup.account.id()
        try await client.setToken(firstToken, for: account)
        try await client.register(account)
        try await within(patience) {
            while !heard.list.contains(where: { !$0.sent && $0.text.contains("200 OK") }) {
                try await Task.sleep(nanoseconds: 10_000_000)
            }
        }
        let texts = heard.list.map(\.text)
        #expect(heard.list.first?.sent == true && texts.first?.hasPrefix("REGISTER ") == true)
        #expect(!texts.contains { $0.contains(firstToken) || $0.contains("wonderland") })
    }

    @Test func theLogIsShownToTheApp() async throws {
        let heard = Heard<LogRecord>()
        try SipWakeLog.setLevel(.info)
        try SipWakeLog.setListener { heard.take($0) }
        defer { try? SipWakeLog.setListener(nil) }
        // A decryptor that throws leads to a warning.
        _ = readPush(["broken": 1], channel: .pushKit, opening: Envelope())
        try await within(patience) {
            while !heard.list.contains(where: { $0.text.contains("decryptor") }) {
                try await Task.sleep(nanoseconds: 10_000_000)
            }
        }
    }

    @Test func aPayloadBecomesTheSameJSON() throws {
        let odd = "\"\\ \n \u{1} é 😀 \u{202e}"
        let payload: [AnyHashable: Any] = [
            "ntype": 3, odd: odd, "list": [1, "two", ["three": 3.5], NSNull(), Date()] as [Any], "nested": ["a": ["b": "c"]],
            7: "no name", "none": NSNull(), "nan": Double.nan, "flag": true,
        ]
        let action = readPush(payload, channel: .firebase)
        #expect(action.kind == .custom(ntype: "3"), "\(action.kind)")
        #expect(readPush(["ntype": 0, "nfrom": odd], channel: .pushKit).caller != nil)
    }
}
