import Foundation
import SipWake
import SipWakeTesting
import Testing

// The code that docs/swift.md shows, between `begin` and `end`. It is compiled and run, and a test below compares the page with this file.

// begin listen
func listen(to client: SipWakeClient, warn: @escaping @Sendable (String) -> Void) -> Task<Void, Never> {
    let events = client.events()
    return Task {
        for await event in events {
            switch event {
            case .registered(_, let registration):
                let verdict = registration.verdict
                if verdict.standing != .confirmed { warn("\(verdict.reason); \(verdict.advice)") }
            case .registrationFailed(_, let failure):
                warn(failure.reason)
            default:
                break
            }
        }
    }
}
// end listen

// begin engine
@MainActor
final class Engine: CallMedia {
    func answer(_ call: UUID, to offer: SessionDescription?) async throws -> SessionDescription {
        SessionDescription(sdp: try await makeAnswer(to: offer?.text))
    }

    func connected(_ call: UUID, answer: SessionDescription?) {
        start(call, with: answer?.text)
    }

    func ended(_ call: UUID, _ reason: EndReason) {
        stop(call)
    }
}
// end engine

extension Engine {
    private func makeAnswer(to offer: String?) async throws -> String { "v=0 ours" }
    private func start(_ call: UUID, with answer: String?) {}
    private func stop(_ call: UUID) {}
}

// begin opener
struct Opener: PayloadDecryptor {
    func decrypt(_ payload: [String: Any]) throws -> [String: String]? {
        guard let sealed = payload["sealed"] as? String else { return nil }
        return try open(sealed)
    }
}
// end opener

extension Opener {
    private func open(_ sealed: String) throws -> [String: String] { ["ntype": "0", "nfrom": String(sealed.reversed())] }
}

@Suite struct GuideTests {
    @Test func anEngineAnswersForTheApp() async throws {
        let answer = try await Engine().answer(UUID(), to: nil)
        #expect(answer.text == "v=0 ours")
        #expect(readPush(["sealed": "4321"], channel: .apnsAlert, opening: Opener()).caller == "1234")
    }

    @Test func theGuideAnswersACall() async throws {
        let gateway = try MockGateway()
        let app = try App(store: MemoryStore(), setup: alice(gateway))
        let (client, ours) = (app.client, "v=0 ours")
        try await client.register(app.account)
        _ = try await app.registration()
        var number = try gateway.placeCall()
        let ringing: @Sendable (SipWakeEvent) -> UUID? = {
            if case .call(let call) = $0, case .ringing = call.change { call.id } else { nil }
        }
        var call = try await app.next(ringing)
        // begin answer
        try await client.answer(call)
        // end answer
        _ = try await app.next { if case .call(let call) = $0, case .answerWanted = call.change { true } else { nil } }
        // begin accept
        try await client.accept(call, with: SessionDescription(sdp: ours))
        // end accept
        let times = try await app.next { event -> CallTimes? in
            if case .call(let call) = event, case .connected = call.change { call.times } else { nil }
        }
        #expect(times.ringing != nil && times.connected != nil && times.ended == nil)
        // begin hangup
        try await client.hangUp(call)
        // end hangup
        try gateway.waitCall(number, "hung_up_by_callee")
        let over = try await app.next { event -> CallTimes? in
            if case .call(let call) = event, case .ended(.hungUp, nil) = call.change { call.times } else { nil }
        }
        #expect(over.talked.map { $0 >= .zero } == true)
        number = try gateway.placeCall()
        call = try await app.next(ringing)
        // begin decline
        try await client.decline(call)
        // end decline
        try gateway.waitCall(number, "rejected")
    }

    @Test func theGuideLeadsToTheFirstWakeUp() async throws {
        let gateway = try MockGateway()
        let (store, address, token) = (MemoryStore(), gateway.address, firstToken)
        // begin client
        let setup = AccountSetup(
            account: AccountConfig(
                aor: "sip:alice@mock.example", credentials: .password(password: "wonderland"), gateways: [address]),
            push: PushConfig(provider: .apns, package: "com.example.app", teamID: "ABCDE12345"))
        let client = try SipWakeClient(store: store, accounts: [setup])
        let alice = try setup.account.id()
        // end client
        let listener = listen(to: client) { print($0) }
        // begin register
        try await client.setToken(token, for: alice)
        try await client.register(alice)
        // end register
        try await within(patience) { while try gateway.tokens().isEmpty { try await Task.sleep(nanoseconds: 20_000_000) } }
        try gateway.ask("sleep", ["user": "alice"])
        let call = try gateway.placeCall()
        let payload = try gateway.nextPush()
        // begin push
        let action = client.push(payload, channel: .pushKit)
        // end push
        #expect(action.duty == .reportCall)
        try gateway.waitCall(call, "ringing")
        try await client.decline(action.uuid)
        try gateway.waitCall(call, "rejected")
        // begin logout
        try await client.logOut(alice)
        // end logout
        try await within(patience) { while try !gateway.bindings().isEmpty { try await Task.sleep(nanoseconds: 20_000_000) } }
        client.shutdown()
        try await within(patience) { await listener.value }
    }

    @Test func theGuideShowsWhatIsCompiledHere() throws {
        let here = URL(fileURLWithPath: #filePath)
        let source = try String(contentsOf: here, encoding: .utf8)
        let page = try String(contentsOf: here.appendingPathComponent("../../../../../docs/swift.md").standardized, encoding: .utf8)
        let shown = page.components(separatedBy: "\n")
        for name in ["answer", "accept", "decline", "hangup"] {
            let lines = source.components(separatedBy: "\n")
            let line = lines[try #require(lines.firstIndex { $0.hasSuffix("// begin " + name) }) + 1]
            #expect(shown.contains(line.trimmingCharacters(in: .whitespaces)), "docs/swift.md does not show \(name)")
        }
        let replays = try String(contentsOf: here.deletingLastPathComponent().appendingPathComponent("ReplayTests.swift"), encoding: .utf8)
        let whole = ["client", "listen", "register", "push", "engine", "opener", "logout"].map { ($0, source) }
        for (name, source) in whole + [("record", replays), ("recording", replays)] {
            let lines = source.components(separatedBy: "\n")
            let begin = try #require(lines.firstIndex { $0.hasSuffix("// begin " + name) })
            let end = try #require(lines.firstIndex { $0.hasSuffix("// end " + name) })
            let indent = lines[begin].prefix { $0 == " " }.count
            let snippet = lines[(begin + 1)..<end].map { String($0.dropFirst(indent)) }.joined(separator: "\n")
            #expect(page.contains("```swift\n\(snippet)\n```"), "docs/swift.md does not show \(name) as it is here")
        }
    }
}
