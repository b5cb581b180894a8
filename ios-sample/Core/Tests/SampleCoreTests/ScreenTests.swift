import Foundation
import SipWake
import Testing

@testable import SampleCore

@MainActor @Suite struct SettingsTests {
    @Test(arguments: [
        ("aor", SettingsProblem.Field.aor), ("password", .password), ("authUser", .authUser), ("proxy", .proxy),
        ("gateway", .gateway), ("transport", .transport), ("payloadKey", .payloadKey),
    ])
    func aRefusedFieldIsTheOneThatIsMarked(name: String, field: SettingsProblem.Field) async throws {
        let store = Keychain()
        let app = try await Run(store)
        var settings = alice()
        switch name {
        case "aor": settings.aor = "sip:nobody"
        case "password": settings.password = "a\u{0}b"
        case "authUser": settings.authUser = "a\u{7}b"
        case "proxy": settings.proxy = "sip:[::1"
        case "payloadKey": settings.payloadKey = "AAAA"
        case "gateway": settings.gateway = "sip:[::1"
        default: (settings.proxy, settings.aor, settings.transport) = ("sip:proxy.example", "sips:alice@mock.example", .udp)
        }
        let problem = try #require(await app.model.save(settings))
        #expect(problem.field == field, "\(problem)")
        #expect(!problem.reason.isEmpty && !problem.reason.contains("wonderland"))
        #expect(app.model.state.settings == nil && store.text.isEmpty, "nothing was kept")
    }

    @Test func anInvalidBundleIsNotAnErrorOfAFormField() async throws {
        let model = try AppModel(store: Keychain(), app: AppIdentity(bundle: "a b", team: nil, environment: .production))
        #expect(await model.save(alice())?.field == SettingsProblem.Field.none)
    }

    @Test func settingsThatAreNoLongerValidStillLeaveAClient() throws {
        let store = Keychain()
        var settings = alice()
        settings.aor = "sip:nobody"
        try AccountRecord(current: settings).save(in: store)
        let model = try AppModel(store: store, app: iPhone)
        #expect(model.accounts.isEmpty && model.state.notices.count == 1)
        #expect(Phone(model).push([:]).duty == .reportThenEnd)
    }

    @Test func noSecretIsShown() {
        var state = SampleState()
        state.settings = alice()
        #expect(!"\(state)".contains("wonderland"))
    }

    @Test func theExtensionFindsTheKey() throws {
        let store = Keychain()
        #expect(payloadKey(in: store) == nil)
        var settings = alice()
        let key = Data(repeating: 7, count: 32)
        settings.payloadKey = key.base64EncodedString()
        try AccountRecord(current: settings).save(in: store)
        #expect(payloadKey(in: store) == key)
    }
}

@Suite struct ScreenTests {
    private let first = UUID()
    private let second = UUID()
    private let bob = Caller(uri: "sip:77@mock.example", displayName: "Bob")

    @Test func anAnswerBeforeTheInviteStaysAnAnswer() {
        var state = SampleState()
        state.apply(.announced(caller: Caller(uri: "", displayName: nil)), to: first, connected: nil, talked: nil)
        #expect(state.call?.caller == "Unknown caller")
        state.answering(first)
        state.apply(.ringing(caller: bob, announced: true, offer: nil), to: first, connected: nil, talked: nil)
        #expect(state.call?.phase == .answering)
        #expect(state.call?.caller == "Bob")
    }

    @Test func aConnectedCallIsOnTheScreen() {
        var state = SampleState()
        for call in [first, second] {
            state.apply(.ringing(caller: bob, announced: false, offer: nil), to: call, connected: nil, talked: nil)
        }
        #expect(state.call?.id == first)
        state.apply(.connected(answer: nil), to: second, connected: Date(timeIntervalSince1970: 5), talked: nil)
        #expect(state.call?.phase == .connected(since: Date(timeIntervalSince1970: 5)))
        state.apply(.ended(reason: .hungUp, status: nil), to: second, connected: nil, talked: .milliseconds(61_600))
        #expect(state.lastCall?.words == "hung up here after 62 s")
        #expect(state.call?.id == first)
        state.apply(.ended(reason: .failed, status: 408), to: first, connected: nil, talked: nil)
        #expect(state.call == nil && state.lastCall?.words == "failed with 408")
    }

    @Test func eventsOfAFormerAccountAreNotShown() {
        var state = SampleState()
        state.account = AccountID(rawValue: "1")
        let failed = {
            SipWakeEvent.registrationFailed(
                account: $0, RegistrationFailure(kind: .timedOut, status: nil, reason: "no answer", retryIn: .milliseconds(1200)))
        }
        state.apply(failed(AccountID(rawValue: "2")))
        #expect(state.binding == .none)
        state.apply(failed(AccountID(rawValue: "1")))
        #expect(state.details == "no answer; tried again in 2 s")
        state.apply(.loggedOut(account: AccountID(rawValue: "2"), LogOut(aor: "sip:b@x", removed: .proven)))
        #expect(state.headline == "Not registered")
    }

    @Test func noticesAreBounded() {
        var state = SampleState()
        for count in 1...100 { state.apply(.eventsLost(count: UInt64(count))) }
        #expect(state.notices.count == SampleState.maxNotices)
        #expect(state.notices.last == "100 events were lost")
    }
}

@Suite struct TraceTests {
    private func message(_ text: String) -> TracedMessage { TracedMessage(date: Date(timeIntervalSince1970: 1), sent: true, flow: 3, text: text) }

    @Test func theOldestEntriesMakeRoom() {
        let ring = TraceRing(maxMessages: 3, maxBytes: 100)
        for number in 1...5 { ring.add(message("message \(number)")) }
        #expect(ring.count == 3)
        let text = ring.export(heading: "heading")
        #expect(text.hasPrefix("heading\n3 messages, 2 older ones dropped\n"))
        #expect(!text.contains("message 2") && text.contains("message 3"))
        #expect(text.contains("--- 1970-01-01T00:00:01.000Z sent on flow 3\n"))
        ring.add(message(String(repeating: "x", count: 95)))
        #expect(ring.count == 1)
        ring.add(message(String(repeating: "x", count: 101)))
        #expect(ring.count == 0, "one that is too long is not kept either")
    }
}

@MainActor @Suite struct MediaTests {
    @Test func allOfferedMediaAreAnsweredInTheirOrder() {
        let offer = "v=0\r\nm=video 5000 RTP/AVP 96\r\nm=audio 4000/2 UDP/TLS/RTP/SAVPF 111 0\r\na=sendrecv\r\nm=audio 4002 RTP/AVP 8\r\n"
        let answer = inactiveSession(answering: offer).components(separatedBy: "\r\n")
        #expect(answer.first == "v=0")
        #expect(
            answer.filter { $0.hasPrefix("m=") || $0.hasPrefix("a=") } == [
                "m=video 0 RTP/AVP 96", "m=audio 9 UDP/TLS/RTP/SAVPF 111 0", "a=inactive", "m=audio 0 RTP/AVP 8",
            ])
    }

    @Test(arguments: [nil, "", "v=0 theirs", "m=audio", "m=audio x RTP/AVP 0"])
    func anOfferThatSaysNothingGetsOneAudioStream(offer: String?) {
        #expect(inactiveSession(answering: offer).hasSuffix("\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\n"))
    }

    @Test func aSecondOfferIsAcceptedToo() async {
        let ours = await InactiveMedia().renegotiate(UUID(), offer: SessionDescription(sdp: "m=audio 1 RTP/AVP 8"))
        #expect(ours?.text.contains("m=audio 9 RTP/AVP 8") == true)
    }
}

@Suite struct SealedPayloadTests {
    private struct Broken: Error {}
    private let opener = SealedPayload { bytes in
        guard !bytes.isEmpty else { throw Broken() }
        return Data(bytes.map { $0 ^ 0x55 })
    }

    private func seal(_ text: String) -> String { Data(text.utf8.map { $0 ^ 0x55 }).base64EncodedString() }

    @Test func aSealedCallIsACall() {
        let push = ["sealed": seal(#"{"ntype":"0","nfrom":"1234","nfromusername":"Bob"}"#)]
        let action = readPush(push, channel: .apnsAlert, opening: opener)
        #expect(action.kind == .incomingCall(video: false) && action.callerLabel == "Bob")
    }

    @Test(arguments: ["", "%%%", "AAAA"])
    func whatCannotBeOpenedIsACallFromNobodyKnown(sealed: String) {
        #expect(readPush(["sealed": sealed], channel: .pushKit, opening: opener).duty == .reportCall)
        #expect(throws: (any Error).self) { try opener.decrypt(["sealed": sealed]) }
    }

    @Test func anotherPayloadIsNotChanged() throws {
        #expect(try opener.decrypt(["ntype": "0"]) == nil)
    }
}
