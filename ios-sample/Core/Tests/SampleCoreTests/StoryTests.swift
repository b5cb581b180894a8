import Foundation
import SipWake
import SipWakeTesting
import Testing

@testable import SampleCore

@MainActor @Suite(.serialized) struct StoryTests {
    @Test func fromTheSettingsToTheCallAndOut() async throws {
        let (gateway, store) = (try MockGateway(), Keychain())
        let app = try await Run(store)
        #expect(app.model.state.settings == nil, "nobody is logged in")

        // Settings, registered, verdict.
        #expect(await app.model.save(alice(gateway)) == nil)
        try await app.until("a verdict") { $0.isBound }
        #expect(app.model.state.headline == "Registered")
        #expect(app.model.state.settings?.aor == "sip:alice@mock.example", "without the spaces")
        #expect(app.model.state.verdictWords == "The server may push; place a test call")
        #expect(app.model.state.verdict?.advice.isEmpty == false)
        #expect(app.phone.accounts == app.model.accounts)
        #expect(try gateway.tokens() == [token])

        // Push, ringing.
        try gateway.ask("sleep", ["user": "alice"])
        let number = try gateway.placeCall(["display": "Bob", "sdp": "v=0\r\nm=audio 4000 RTP/AVP 8\r\n", "invite_delay_ms": 300])
        let action = app.phone.push(try gateway.nextPush())
        #expect(app.phone.rings == [action.uuid], "reported before the delegate returned")
        try await app.until("ringing") { $0.call?.phase == .ringing }
        #expect(app.model.state.call?.id == action.uuid)
        #expect(app.model.state.call?.caller == "Bob")

        // Answer, connected.
        app.model.answer()
        #expect(app.model.state.call?.phase == .answering)
        try await app.until("connected") { $0.isConnected }
        #expect(app.phone.taps[0].outcome == "fulfilled")
        app.model.audioSession(active: true)
        #expect(app.model.state.audio)
        try await caller(gateway, number, sees: "answered")

        // Ended.
        try gateway.ask("bye", ["call": number])
        try await app.until("ended") { $0.call == nil }
        #expect(app.phone.ends == [action.uuid: .hungUpByCaller])
        #expect(app.model.state.lastCall?.words.hasPrefix("the caller hung up after ") == true)
        try gateway.ask("wait_message", ["method": "INVITE", "direction": "received", "status": 200, "contains": "a=inactive"])
        // The trace is written on another thread.
        try await app.until("a trace of it all") { _ in app.model.exportTrace().contains("BYE sip:") }
        let trace = app.model.exportTrace()
        #expect(trace.hasPrefix("sipwake sample, sip:alice@mock.example: Registered for 3600 s; The server may push"))
        #expect(trace.contains("REGISTER sip:"))
        #expect(!trace.contains("wonderland") && !trace.contains(token))

        // Logged out.
        await app.model.logOut()
        #expect(app.model.state.settings == nil && app.phone.accounts.isEmpty)
        #expect(!store.text.contains("wonderland"))
        try await app.until("the server's word") { $0.hasLeft }
        #expect(try gateway.bindings().isEmpty)
        #expect(try gateway.violations().isEmpty)
    }

    @Test func theSwitchKeepsThePhoneQuietAndOutlivesTheApp() async throws {
        let (gateway, store) = (try MockGateway(), Keychain())
        var app: Run? = try await Run(store)
        #expect(await app?.model.save(alice(gateway)) == nil)
        try await app?.until("registered") { $0.isBound }
        try gateway.ask("sleep", ["user": "alice"])
        let number = try gateway.placeCall(["display": "Bob"])
        let push = try gateway.nextPush()
        try gateway.ask("cancel", ["call": number])
        await app?.model.doNotDisturb(true)
        #expect(app?.model.state.quietUntil != nil)
        let action = try #require(app?.phone.push(push))
        #expect(action.duty == .reportThenEnd && action.callerLabel == nil, "a push that comes anyway shows no name")
        try await app?.until("no token is left") { _ in (try? gateway.tokens().isEmpty && !gateway.bindings().isEmpty) == true }
        #expect(readPush(["ntype": 0, "nfrom": "1234"], channel: .apnsAlert, heeding: store).kind == .ignore(reason: .doNotDisturb))
        app?.model.client.shutdown()
        app = nil

        let next = try await Run(store)
        #expect(next.model.state.quietUntil != nil)
        await next.model.doNotDisturb(false)
        #expect(next.model.state.quietUntil == nil)
        try await next.until("the token is back") { _ in (try? gateway.tokens()) == [token] }
    }

    @Test(arguments: [("rfc8599", "The server will push"), ("none", "The server may push; place a test call")])
    func theVerdictIsOnTheScreen(profile: String, words: String) async throws {
        let gateway = try MockGateway(profile: profile)
        let app = try await Run(Keychain())
        #expect(await app.model.save(alice(gateway)) == nil)
        try await app.until("registered") { $0.isBound }
        #expect(app.model.state.verdictWords == words)
    }

    @Test func aWrongPasswordIsShownOnTheScreen() async throws {
        let gateway = try MockGateway()
        let app = try await Run(Keychain())
        var settings = alice(gateway)
        settings.password = "looking-glass"
        #expect(await app.model.save(settings) == nil)
        try await app.until("refused") { if case .failed(_, nil) = $0.binding { true } else { false } }
        #expect(app.model.state.headline == "Not registered" && !app.model.state.details.isEmpty)
        #expect(!app.model.state.details.contains("looking-glass"))
        #expect(await app.model.save(alice(gateway)) == nil)
        try await app.until("registered") { $0.isBound }
    }

    @Test func theUserHangsUpAndDeclines() async throws {
        let gateway = try MockGateway()
        let app = try await Run(Keychain())
        #expect(await app.model.save(alice(gateway)) == nil)
        try await app.until("registered") { $0.isBound }
        let first = try gateway.placeCall()
        try await app.until("ringing") { $0.call?.phase == .ringing }
        app.model.answer()
        try await app.until("connected") { $0.isConnected }
        app.model.end()
        try await app.until("ended") { $0.lastCall?.reason == .hungUp }
        try await caller(gateway, first, sees: "hung_up_by_callee")
        let second = try gateway.placeCall()
        try await app.until("ringing again") { $0.call?.phase == .ringing }
        app.model.end()
        try await app.until("declined") { $0.lastCall?.reason == .declined }
        try await caller(gateway, second, sees: "rejected")
    }

    @Test func aPushThatStartsTheAppRings() async throws {
        let (gateway, store) = (try MockGateway(), Keychain())
        var app: Run? = try await Run(store)
        #expect(await app?.model.save(alice(gateway)) == nil)
        try await app?.until("registered") { $0.isBound }
        app?.model.client.shutdown()
        app = nil
        try gateway.ask("sleep", ["user": "alice", "close": true])
        let number = try gateway.placeCall()
        let push = try gateway.nextPush()

        // PushKit's delegate runs before the first wait.
        let model = try AppModel(store: store, app: iPhone)
        let phone = Phone(model)
        let action = phone.push(push)
        #expect(action.duty == .reportCall && phone.rings == [action.uuid])
        await model.start(phone)
        try await caller(gateway, number, sees: "ringing")
        model.client.shutdown()
    }

    @Test func anInterruptedLogOutIsDoneLater() async throws {
        let (gateway, store) = (try MockGateway(), Keychain())
        let before = try await Run(store)
        #expect(await before.model.save(alice(gateway)) == nil)
        try await before.until("registered") { $0.isBound }
        before.model.client.shutdown()
        // The app was killed after it noted the log-out, and before it told the SDK.
        try AccountRecord(leaving: [alice(gateway)]).save(in: store)

        let after = try await Run(store)
        #expect(after.model.state.settings == nil)
        try await after.until("the server's word") { $0.hasLeft }
        #expect(try gateway.bindings().isEmpty)
        #expect(try AccountRecord.load(from: store) == AccountRecord())
    }

    @Test func aUserWhoWasLoggedInWhenTheAppWasDeletedIsLoggedOut() async throws {
        let (gateway, store) = (try MockGateway(), Keychain())
        let before = try await Run(store)
        #expect(await before.model.save(alice(gateway)) == nil)
        try await before.until("registered") { $0.isBound }
        before.model.client.shutdown()

        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: folder) }
        let after = try await Run(store, firstRun: FirstRun(folder: folder))
        #expect(after.model.state.settings == nil)
        try await after.until("the server's word") { $0.hasLeft }
        #expect(try gateway.bindings().isEmpty)
        #expect(FirstRun(folder: folder).state() == .known)
        #expect(isLoggedOut(in: store))
    }

    @Test func aNewUserLogsTheFormerOneOut() async throws {
        let gateway = try MockGateway()
        try gateway.ask("set_user", ["user": "carol", "password": "rabbit"])
        let app = try await Run(Keychain())
        #expect(await app.model.save(alice(gateway)) == nil)
        try await app.until("registered") { $0.isBound }
        var carol = alice(gateway)
        (carol.aor, carol.password) = ("sip:carol@mock.example", "rabbit")
        #expect(await app.model.save(carol) == nil)
        try await app.until("registered again") { $0.settings?.aor == carol.aor && $0.isBound }
        for _ in 0..<12_000 where try !gateway.bindings().isEmpty { try await Task.sleep(nanoseconds: 10_000_000) }
        #expect(try gateway.bindings().isEmpty, "alice's")
    }

    @Test func aLockedPhoneStillReportsAPush() async throws {
        let (gateway, store) = (try MockGateway(), Keychain())
        try AccountRecord(current: alice(gateway)).save(in: store)
        store.setLocked(true)
        let app = try await Run(store)
        #expect(app.model.state.details == "the phone was not unlocked yet")
        let action = app.phone.push(["ntype": "0", "nfrom": "1234"])
        #expect(action.duty == .reportCall, "a store that is shut is not empty: nobody can say who is logged in")
        #expect(app.phone.rings == [action.uuid])
        store.setLocked(false)
        await app.model.unlocked()
        try await app.until("registered") { $0.isBound }
    }

    /// Waits for the caller outside the main actor, because the app needs that.
    private func caller(_ gateway: MockGateway, _ call: Int, sees state: String) async throws {
        try await Task.detached { try gateway.waitCall(call, state) }.value
    }
}
