import Foundation
import SipWake
import Testing

// What docs/swift.md shows, between `begin` and `end`, compiled and run. A test below compares the page with this file.

// begin listen
func listen(to client: SipWakeClient, warn: @escaping @Sendable (String) -> Void) -> Task<Void, Never> {
    let events = client.events()
    return Task {
        for await event in events {
            switch event {
            case .registered(_, let registration):
                let verdict = registration.verdict
                if verdict.standing != .confirmed { warn("\(verdict.reason); \(verdict.advice)") }
            case .registrationFailed(_, _, _, let reason, _):
                warn(reason)
            default:
                break
            }
        }
    }
}
// end listen

@Suite struct GuideTests {
    @Test func theGuideLeadsToTheFirstWakeUp() async throws {
        let gateway = try MockGateway()
        let (store, address, token) = (Memory(), gateway.address, firstToken)
        // begin client
        let setup = AccountSetup(
            account: AccountConfig(
                aor: "sip:alice@mock.example", credentials: .password(password: "wonderland"), gateways: [address]),
            push: PushConfig(provider: .apns, package: "com.example.app", teamId: "ABCDE12345"))
        let client = try SipWakeClient(store: store, accounts: [setup])
        let alice = try setup.account.id()
        // end client
        let listener = listen(to: client) { print($0) }
        // begin register
        try await client.setToken(token, for: alice)
        try await client.register(alice)
        // end register
        try await within(10) { while try gateway.tokens().isEmpty { try await Task.sleep(nanoseconds: 20_000_000) } }
        try gateway.ask("sleep", ["user": "alice"])
        let call = try gateway.placeCall()
        let payload = try gateway.nextPush()
        // begin push
        let action = client.push(payload, channel: .pushKit)
        // end push
        #expect(action.duty == .reportCall)
        try gateway.waitCall(call, "ringing")
        // begin decline
        try await client.decline(action.uuid)
        // end decline
        try gateway.waitCall(call, "rejected")
        // begin logout
        try await client.logOut(alice)
        // end logout
        try await within(10) { while try !gateway.bindings().isEmpty { try await Task.sleep(nanoseconds: 20_000_000) } }
        client.shutdown()
        try await within(5) { await listener.value }
    }

    @Test func theGuideShowsWhatIsCompiledHere() throws {
        let here = URL(fileURLWithPath: #filePath)
        let source = try String(contentsOf: here, encoding: .utf8)
        let page = try String(contentsOf: here.appendingPathComponent("../../../../../docs/swift.md").standardized, encoding: .utf8)
        for name in ["client", "listen", "register", "push", "decline", "logout"] {
            let lines = source.components(separatedBy: "\n")
            let begin = try #require(lines.firstIndex { $0.hasSuffix("// begin " + name) })
            let end = try #require(lines.firstIndex { $0.hasSuffix("// end " + name) })
            let indent = lines[begin].prefix { $0 == " " }.count
            let snippet = lines[(begin + 1)..<end].map { String($0.dropFirst(indent)) }.joined(separator: "\n")
            #expect(page.contains("```swift\n\(snippet)\n```"), "docs/swift.md does not show \(name) as it is here")
        }
    }
}
