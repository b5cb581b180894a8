import Foundation
import SipWake
import SipWakeTesting
import Testing

@Suite(.serialized) struct CompanionTests {
    @Test(arguments: ["mizutech", "rfc8599", "xmpush", "opensips", "kamailio"])
    func aPhoneWithAStackOfItsOwnIsWokenAndItsUserLogsOut(profile: String) async throws {
        let (store, gateway) = (MemoryStore(), try MockGateway(profile: profile))
        let setup = alice(gateway, transport: .udp)
        let account = try setup.account.id()
        func app(_ setup: AccountSetup?, credentials: Credentials = .password(password: "wonderland"), deaf: Bool = false) throws -> BesideApp {
            try BesideApp(store: store, gateway: gateway.address, account: account, setup: setup, credentials: credentials, deaf: deaf)
        }
        let first = try app(setup)
        #expect(try first.companion.setToken(firstToken, for: account) == .taken)
        try first.beside.register(account, for: first.companion)
        let standing = try await first.next { event -> Standing? in
            if case .registered(_, let granted) = event { granted.verdict.standing } else { nil }
        }
        #expect([.confirmed, .unconfirmed].contains(standing))
        #expect(try gateway.tokens() == [firstToken])
        first.kill()

        try gateway.ask("sleep", ["user": "alice", "close": true])
        let call = try gateway.placeCall()
        let push = try gateway.nextPush()
        let second = try app(setup)
        try await woken(second, gateway, call, push)
        second.kill()

        let third = try app(setup, deaf: true)
        #expect(try third.companion.logOut(account) == .durable)
        #expect(third.companion.push(push, channel: .pushKit).kind == .ignore(reason: .loggedOut))
        third.kill()
        #expect(try !gateway.bindings().isEmpty, "no REGISTER has told of it yet")

        let asking = try SipWakeCompanion(store: store, stack: Nobody.shared)
        let pending = try #require(try asking.pending().first)
        asking.shutdown()
        #expect(pending.aor == "sip:alice@mock.example")
        if case .password = pending.credentials { Issue.record("no password is stored") }
        let fourth = try app(nil, credentials: pending.credentials)
        let out = try await fourth.next { event -> LogOut? in if case .loggedOut(_, let out) = event { out } else { nil } }
        #expect([.proven, .accepted].contains(out.removed))
        #expect(try fourth.companion.pending().isEmpty)
        #expect(try gateway.bindings().isEmpty, "the gateway has forgotten the user")
        fourth.kill()
        let violations = try gateway.violations()
        #expect(violations.isEmpty, "\(violations)")
    }

    private func woken(_ app: BesideApp, _ gateway: MockGateway, _ call: Int, _ push: [AnyHashable: Any]) async throws {
        let action = app.companion.push(push, channel: .pushKit)
        #expect(action.duty == .reportCall)
        let ringing: @Sendable (SipWakeEvent) -> UUID? = {
            if case .call(let call) = $0, case .ringing = call.change { call.id } else { nil }
        }
        let uuid = try await app.next(ringing)
        #expect(uuid == action.uuid, "the push and its INVITE are one call")
        try await gateway.sees(call, "ringing")
        try gateway.cancelCall(call)
        let ended: @Sendable (SipWakeEvent) -> EndReason? = {
            if case .call(let call) = $0, case .ended(let reason, _) = call.change { reason } else { nil }
        }
        #expect(try await app.next(ended) == .cancelled)
        try await gateway.sees(call, "cancelled")
        // A late push without content looks like the push of the next call.
        if action.callID != nil { #expect(app.companion.push(push, channel: .pushKit).duty == .reportThenEnd, "a late push must not ring") }
        #expect(throws: SipWakeError.self) { try app.companion.answer(uuid) }

        let next = try gateway.placeCall()
        let second = try await app.next(ringing)
        try app.companion.answer(second)
        try await gateway.sees(next, "answered")
        let up = try await app.next { event -> UUID? in
            if case .call(let call) = event, case .connected = call.change { call.id } else { nil }
        }
        #expect(up == second && app.companion.calls.map(\.id) == [second])
        try app.companion.hangUp(second)
        try await gateway.sees(next, "hung_up_by_callee")
        #expect(try await app.next(ended) == .hungUp)
    }

    @Test func stepsOutOfOrderAndBrokenHeadersAreErrorsWithAKind() throws {
        let companion = try SipWakeCompanion(store: MemoryStore(), stack: Nobody.shared, accounts: [alice()])
        let account = try alice().account.id()
        func refused(_ act: () throws -> Void) -> String {
            do { try act() } catch SipWakeError.invalidField(let name, _) { return name } catch SipWakeError.noSuchRegister {
                return "no such register"
            } catch SipWakeError.noSuchAccount { return "no such account" } catch SipWakeError.noSuchCall { return "no such call" } catch
                SipWakeError.shutDown
            { return "shut down" } catch { return "\(error)" }
            return "nothing"
        }
        #expect(refused { try companion.heard(RegisterResponse(status: 200), from: account) } == "no such register")
        #expect(refused { try companion.heard(RegisterResponse(status: 7), from: account) } == "status")
        let torn = [NamedValue(name: "A", value: "b\nC: d")]
        #expect(refused { try companion.heard(RegisterResponse(status: 200, headers: torn), from: account) } == "headers")
        #expect(refused { _ = try companion.invited([], for: account) } == "headers")
        #expect(refused { try companion.stands(at: "nowhere", for: account) } == "contact")
        #expect(refused { try companion.setToken("a b", for: account) } == "push.token")
        #expect(refused { try companion.sent(7, callID: "id", cseq: 1, for: account) } == "no such register")
        #expect(refused { _ = try companion.registerTags(AccountID(rawValue: "0123456789abcdef")) } == "no such account")
        #expect(refused { try companion.ended(UUID(), .hungUp) } == "no such call")
        companion.shutdown()
        #expect(refused { _ = try companion.pending() } == "shut down")
        #expect(companion.push(["ntype": "0", "nfrom": "1"], channel: .pushKit).duty == .reportCall, "it is read")
    }

    @Test func doNotDisturbSurvivesTheProcess() throws {
        let (store, later) = (MemoryStore(), Date(timeIntervalSince1970: 4_000_000_000))
        let account = try alice().account.id()
        let call: [AnyHashable: Any] = ["ntype": "0", "nfrom": "1234", "ncallid": "c", "ntouser": "alice"]
        let first = try SipWakeCompanion(store: store, stack: Nobody.shared, accounts: [alice()])
        try first.setToken(firstToken, for: account)
        let bound = try first.registerTags(account)
        let ok = RegisterResponse(status: 200, headers: [NamedValue(name: "Expires", value: "600")], register: bound.number)
        try first.heard(ok, from: account)
        #expect(try first.setDoNotDisturb(account, until: later) == .durable)
        #expect(try !first.registerTags(account).removes)
        #expect(first.push(call, channel: .pushKit).duty == .reportThenEnd)
        let key = try first.pushKey()
        #expect(try first.pushKey() == key && first.rotatePushKey() != key)
        #expect(throws: SipWakeError.self) { try first.importPushKey("AAAA", id: "pbx") }
        try first.importPushKey("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", id: "pbx")
        #expect(try first.forgetPushKey(id: "pbx"))
        first.shutdown()
        let second = try SipWakeCompanion(store: store, stack: Nobody.shared, accounts: [alice()])
        #expect(second.doNotDisturb(account) == later && second.push(call, channel: .pushKit).duty == .reportThenEnd)
        #expect(try second.setDoNotDisturb(account, until: nil) == .durable)
        #expect(second.doNotDisturb(account) == nil)
        second.shutdown()
    }

    @Test func anOldResponseSaysNothing() throws {
        let companion = try SipWakeCompanion(store: MemoryStore(), stack: Nobody.shared, accounts: [alice()])
        let account = try alice().account.id()
        try companion.setToken(firstToken, for: account)
        let first = try companion.registerTags(account)
        try companion.setToken(secondToken, for: account)
        let second = try companion.registerTags(account)
        let headers = [
            NamedValue(name: "EXPIRES", value: " 600 "), NamedValue(name: "feature-caps", value: "*;+sip.pns=\"fcm\",\r\n *;+sip.pns=\"apns\""),
        ]
        func heard(_ register: UInt64) throws -> CompanionAnswer {
            try companion.heard(RegisterResponse(status: 200, headers: headers, register: register), from: account)
        }
        #expect(try heard(first.number).next == .old)
        let answer = try heard(second.number)
        #expect(answer.next == .nothing && answer.verdict?.standing == .confirmed)
        #expect(try #require(answer.refreshIn) <= #require(answer.expires))
    }

    @Test func noPrintedTextShowsATokenOrAPassword() throws {
        let companion = try SipWakeCompanion(store: MemoryStore(), stack: Nobody.shared, accounts: [alice()])
        let account = try alice().account.id()
        try companion.setToken(firstToken, for: account)
        try companion.stands(at: "sip:alice@192.0.2.7", for: account)
        let register = try companion.registerTags(account)
        let contact = try #require(register.contact)
        #expect(contact.contains(firstToken))
        let listed = NamedValue(name: "Contact", value: "<\(contact)>;expires=600")
        let response = RegisterResponse(status: 200, headers: [listed], register: register.number)
        let answer = try companion.heard(response, from: account)
        try companion.logOut(account)
        let pending = try #require(try companion.pending().first)
        #expect(pending.credentials == .password(password: "wonderland"))
        var dumped = ""
        dump([register, response, answer, pending, companion] as [Any], to: &dumped)
        for printed in ["\(register)", "\(response)", "\(answer)", "\(pending)", dumped] {
            #expect(!printed.contains(firstToken) && !printed.contains("wonderland"))
        }
    }

    @Test func thePageLeadsToAFirstWakeUp() async throws {
        let gateway = try MockGateway()
        let (store, setup, token) = (MemoryStore(), alice(gateway, transport: .udp), firstToken)
        let mine = UdpStack(gateway.address, user: "alice", credentials: .password(password: "wonderland"))
        // begin start
        let alice = try setup.account.id()
        let beside = Beside(mine, alice)
        let companion = try SipWakeCompanion(store: store, stack: beside, accounts: [setup])
        beside.attach(companion)
        try companion.stands(at: mine.contact, for: alice)  // where the stack knows it
        try companion.setToken(token, for: alice)
        try beside.register(alice, for: companion)
        // end start
        try await within(patience) { while try gateway.tokens() != [token] { try await Task.sleep(nanoseconds: 20_000_000) } }
        companion.shutdown()
        mine.close()
    }

    @Test func thePageShowsWhatIsCompiledHere() throws {
        let here = URL(fileURLWithPath: #filePath)
        let page = try String(contentsOf: here.appendingPathComponent("../../../../../docs/beside.md").standardized, encoding: .utf8)
        let sources = ["CompanionTests.swift", "Beside.swift", "../../AppleCheck/Tests/AppleTests/CompanionBridgeTests.swift"]
        for (source, name) in zip(sources, ["start", "beside", "phone"]) {
            let lines = try String(contentsOf: here.appendingPathComponent("../" + source).standardized, encoding: .utf8)
                .components(separatedBy: "\n")
            let begin = try #require(lines.firstIndex { $0.hasSuffix("// begin " + name) })
            let end = try #require(lines.firstIndex { $0.hasSuffix("// end " + name) })
            let indent = lines[begin].prefix { $0 == " " }.count
            let snippet = lines[(begin + 1)..<end].map { String($0.dropFirst(indent)) }.joined(separator: "\n")
            #expect(page.contains("```swift\n\(snippet)\n```"), "docs/beside.md does not show \(name) as it is in \(source)")
        }
    }
}
