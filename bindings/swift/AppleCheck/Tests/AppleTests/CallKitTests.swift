import BackgroundTasks
import CallKit
import Foundation
import PushKit
import Security
import SipWake
import SipWakeApple
import SipWakeTesting
import Testing
import UIKit
import UserNotifications

@MainActor @Suite(.serialized) struct AppleTests {
    @Test func aPushIsReportedAndAnsweredWhenItsInviteIsHere() async throws {
        let phone = try await Device()
        let call = try phone.pushedCall(["sdp": "v=0 theirs", "invite_delay_ms": 300])
        let answer = phone.callKit.userAnswers(call.uuid)
        #expect(!answer.isComplete, "there is no INVITE yet")
        try await phone.until("connected") { phone.media.connected == [call.uuid] }
        #expect(phone.callKit.call(call.uuid)?.state == .connected)
        try await phone.until("audio") { phone.audio == [true] }
        try await phone.caller(call.number, sees: "answered")
        try phone.gateway.ask("bye", ["call": call.number])
        try await phone.until("ended") { phone.callKit.call(call.uuid)?.state == .ended }
        #expect(phone.callKit.call(call.uuid)?.reason == .remoteEnded)
        try await phone.until("silent") { phone.audio == [true, false] }
        phone.end()
    }

    @Test func anAnswerCanWaitForTheCallersAck() async throws {
        let phone = try await Device(answering: .connected)
        let call = try phone.pushedCall()
        let answer = phone.callKit.userAnswers(call.uuid)
        try await phone.until("connected") { phone.media.connected == [call.uuid] }
        #expect(answer.isComplete && phone.callKit.call(call.uuid)?.state == .connected)
        phone.end()
    }

    @Test func anAnswerThatTakesTooLongFailsASecondBeforeCallKitsTimeIsUp() async throws {
        let phone = try await Device()
        try phone.deliver(["ntype": "0", "nfrom": "1234", "ncallid": "never@x", "ntouser": "alice"])
        let uuid = try #require(phone.callKit.reports.last)
        let answer = phone.callKit.userAnswers(uuid, within: 3)
        #expect(!answer.isComplete)
        try await phone.until("failed") { answer.isComplete }
        #expect(phone.callKit.call(uuid)?.state == .ended && phone.callKit.call(uuid)?.reason == .failed)
        try await phone.until("over") { phone.media.ended[uuid] != nil }
        phone.end()
    }

    @Test func theUserHangsUpOnCallKitsScreen() async throws {
        let phone = try await Device()
        let call = try phone.pushedCall()
        _ = phone.callKit.userAnswers(call.uuid)
        try await phone.until("connected") { phone.media.connected == [call.uuid] }
        #expect(phone.callKit.userEnds(call.uuid).isComplete)
        try await phone.caller(call.number, sees: "hung_up_by_callee")
        try await phone.until("ended") { phone.media.ended[call.uuid] == .hungUp }
        phone.end()
    }

    @Test func theCancelOfAConnectedCallIsReportedUnderItsUUIDAndTheCallStays() async throws {
        let phone = try await Device()
        let call = try phone.pushedCall()
        _ = phone.callKit.userAnswers(call.uuid)
        try await phone.until("connected") { phone.media.connected == [call.uuid] }
        let late = try phone.deliver(cancel(of: call.payload))
        #expect(late.reported && phone.callKit.reports.last == call.uuid)
        try await phone.until("settled") { late.completed == 1 }
        // The caller is still there, so the app must hang up.
        _ = phone.callKit.userEnds(call.uuid)
        try await phone.until("ended") { phone.media.ended[call.uuid] == .hungUp }
        phone.end()
    }

    @Test func theCancelOfAnUnknownCallShowsNoNameAndEndsAtOnce() async throws {
        let phone = try await Device()
        let push: [AnyHashable: Any] = ["ntype": "2", "nfrom": "1234", "nfromusername": "John", "ncallid": "gone@x", "ntouser": "alice"]
        let cancelled = try phone.deliver(push)
        let uuid = try #require(phone.callKit.reports.last)
        #expect(phone.callKit.call(uuid)?.name == nil && phone.callKit.call(uuid)?.caller == "")
        try await phone.until("ended") { phone.callKit.call(uuid)?.state == .ended }
        try await phone.until("settled") { cancelled.completed == 1 }
        phone.end()
    }

    @Test func aLoggedOutUsersPushShowsNoName() async throws {
        let phone = try await Device()
        try await phone.client.logOut(phone.account)
        try phone.deliver(["ntype": "0", "nfrom": "1234", "nfromusername": "John", "ncallid": "a@x", "ntouser": "alice"])
        let uuid = try #require(phone.callKit.reports.last)
        #expect(phone.callKit.call(uuid)?.name == nil && phone.callKit.call(uuid)?.caller == "")
        try await phone.until("ended") { phone.callKit.call(uuid)?.state == .ended }
        phone.end()
    }

    @Test func doNotDisturbShowsNoName() async throws {
        let phone = try await Device()
        let push: [AnyHashable: Any] = ["ntype": "0", "nfrom": "1234", "nfromusername": "John", "ncallid": "a@x", "ntouser": "alice"]
        #expect(try await phone.client.setDoNotDisturb(phone.account, until: .distantFuture) == .durable)
        #expect(phone.client.doNotDisturb(phone.account) == .distantFuture)
        let late = try phone.deliver(push)
        let uuid = try #require(phone.callKit.reports.last)
        #expect(late.reported && phone.callKit.call(uuid)?.name == nil && phone.callKit.call(uuid)?.caller == "")
        try await phone.until("ended") { phone.callKit.call(uuid)?.state == .ended }
        try await phone.until("the token is gone") { try phone.gateway.tokens().isEmpty && !phone.gateway.bindings().isEmpty }
        try await phone.client.setDoNotDisturb(phone.account, until: Date(timeIntervalSinceNow: 1.5))
        try await phone.until("the token is back") { try phone.gateway.tokens() == [firstToken] }
        #expect(phone.client.doNotDisturb(phone.account) == nil)
        phone.end()
    }

    @Test func aNameThatComesWithALaterPushIsShown() async throws {
        let phone = try await Device()
        let push: [AnyHashable: Any] = ["ntype": "0", "nfrom": "1234", "ncallid": "a@x", "ntouser": "alice"]
        try phone.deliver(push)
        let first = try #require(phone.callKit.reports.last)
        #expect(phone.callKit.call(first)?.caller == "1234" && phone.callKit.call(first)?.name != "John")
        try phone.deliver(push.merging(["nfromusername": "John"]) { $1 })
        try await phone.until("a later push's name") { phone.callKit.call(first)?.name == "John" }
        _ = phone.callKit.userEnds(first)
        phone.end()
    }

    @Test func aNameFromTheInviteIsShown() async throws {
        let phone = try await Device()
        let asserted = [["P-Asserted-Identity", "\"Trillian\" <sip:bob@mock.example>"]]
        for (fields, name) in [(["display": "Zaphod"], "Zaphod"), (["display": NSNull(), "headers": asserted], "Trillian")] as [([String: Any], String)] {
            let call = try phone.pushedCall(fields, withoutName: true)
            #expect(phone.callKit.call(call.uuid)?.name != name, "the push knows only a number")
            try await phone.until(name) { phone.callKit.call(call.uuid)?.name == name }
            _ = phone.callKit.userEnds(call.uuid)
            try await phone.caller(call.number, sees: "rejected")
        }
        phone.end()
    }

    @Test(arguments: ["2", "4"])
    func whatNeedNotBeReportedIsNot(type: String) async throws {
        let phone = try await Device()
        let push: [AnyHashable: Any] = ["ntype": type, "nfrom": "1234", "ncallid": "a@x", "ntouser": "alice"]
        let delivery = try phone.deliver(push, mustReport: false)
        #expect(!delivery.reported && delivery.completed == 1)
        #expect(try phone.deliver(push, mustReport: true).reported, "iOS says that it must be")
        phone.end()
    }

    @Test func aCancelThatOvertakesItsCallSilencesIt() async throws {
        let phone = try await Device()
        let push: [AnyHashable: Any] = ["ntype": "0", "nfrom": "1234", "nfromusername": "John", "ncallid": "a@x", "ntouser": "alice"]
        try phone.deliver(cancel(of: push))
        try await phone.until("ended") { phone.callKit.reports.allSatisfy { phone.callKit.call($0)?.state == .ended } }
        try phone.deliver(push)
        try await phone.until("silent") { phone.callKit.reports.allSatisfy { phone.callKit.call($0)?.state == .ended } }
        #expect(phone.callKit.reports.allSatisfy { phone.callKit.call($0)?.name == nil })
        phone.end()
    }

    @Test func aFocusIsReportedWithItsCodeAndTheCallerGetsBusy() async throws {
        let phone = try await Device()
        phone.callKit.refuse(.filteredByDoNotDisturb)
        let call = try phone.pushedCall()
        try await phone.caller(call.number, sees: "rejected")
        let code = CXErrorCodeIncomingCallError.Code.filteredByDoNotDisturb.rawValue
        try await phone.until("told") { phone.failures.contains { $0.domain == "CallKit" && $0.code == code } }
        phone.end()
    }

    @Test func muteHoldAndDigitsReachTheMediaEngine() async throws {
        let phone = try await Device(features: [.holding, .dtmf])
        let call = try phone.pushedCall()
        _ = phone.callKit.userAnswers(call.uuid)
        try await phone.until("connected") { phone.media.connected == [call.uuid] }
        let actions = [phone.callKit.userMutes(call.uuid), phone.callKit.userHolds(call.uuid), phone.callKit.userDials("12#", in: call.uuid)]
        try await phone.until("done") { actions.allSatisfy(\.isComplete) }
        #expect(phone.media.commands == [.mute(true), .hold(true), .dtmf("12#")])
        phone.end()
    }

    @Test func aCrashOfCallKitEndsTheCalls() async throws {
        let phone = try await Device()
        let call = try phone.pushedCall()
        try await phone.caller(call.number, sees: "ringing")
        phone.callKit.crash()
        try await phone.until("ended") { phone.media.ended[call.uuid] != nil }
        try await phone.caller(call.number, sees: "rejected")
    }

    @Test func audioIsConfiguredBeforeTheAnswerAndItsFailureIsReported() async throws {
        let phone = try await Device()
        var asked = 0
        phone.calls.configureAudio = {
            asked += 1
            throw Timeout()
        }
        let call = try phone.pushedCall()
        let answer = phone.callKit.userAnswers(call.uuid)
        #expect(asked == 1 && !answer.isComplete)
        try await phone.until("told") { phone.failures.contains { $0.domain == "AVFAudio" } }
        try await phone.until("connected") { phone.media.connected == [call.uuid] }
        phone.end()
    }

    @Test func aTokenThatCannotBeGivenIsAnEvent() async throws {
        let phone = try await Device()
        phone.pushes.accounts = [AccountID(rawValue: "0123456789abcdef")]
        try await phone.until("told") { phone.failures.contains { $0.doing == "give the push token" } }
        phone.end()
    }

    @Test func aTokenThatAppleInvalidatesIsUnbound() async throws {
        let phone = try await Device()
        PKPushRegistry.played?.invalidate()
        try await phone.until("unbound") { try phone.gateway.tokens().isEmpty }
        phone.end()
    }

    @Test func chatAndCustomPushesReachTheApp() async throws {
        let phone = try await Device()
        var seen: [PushKind] = []
        phone.pushes.onPush = { action, _ in seen.append(action.kind) }
        try phone.deliver(["ntype": "1", "nfrom": "1234", "nmsg": "hello", "ntouser": "alice"])
        try phone.deliver(["ntype": "3", "nfrom": "1234", "ntouser": "alice"])
        #expect(seen == [.chat(mimeType: nil), .custom(ntype: "3")])
        let chat = readPush(["ntype": "1", "nfrom": "1234", "nmsg": "hello"], channel: .apnsAlert)
        let content = try #require(chat.notification?.content as? UNMutableNotificationContent)
        #expect(content.title == "1234" && content.body == "hello")
        #expect(readPush(["ntype": "0", "nfrom": "1234"], channel: .pushKit).notification == nil)
        try await phone.until("ended") { phone.callKit.reports.allSatisfy { phone.callKit.call($0)?.state == .ended } }
        phone.end()
    }

    @Test func pushesGoToAnyReporter() async throws {
        @MainActor final class Own: CallReporter {
            var reported: [UUID] = []
            func report(_ action: PushAction, done: @escaping @MainActor () -> Void) {
                reported.append(action.uuid)
                done()
            }
        }
        let (own, client) = (Own(), try SipWakeClient(store: MemoryStore(), accounts: [alice()]))
        let pushes = PushKitBridge(client, calls: own, accounts: [])
        let registry = try #require(PKPushRegistry.played)
        let delivery = registry.deliver(["ntype": "0", "nfrom": "1234"], withoutCallKit: true)
        #expect(own.reported.count == 1 && delivery.completed == 1)
        withExtendedLifetime(pushes) {}
    }

    @Test func theProcessStaysAwakeUntilThePhoneRingsAndUntilALogOutIsConfirmed() async throws {
        let phone = try await Device(options: ClientOptions(backgroundTime: UIKitBackgroundTime()))
        let app = UIApplication.shared
        let before = app.begun.count
        let call = try phone.pushedCall(["invite_delay_ms": 200])
        try await phone.until("held") { app.begun.count > before }
        try await phone.caller(call.number, sees: "ringing")
        try await phone.until("let go") { app.backgroundTasks.isEmpty }
        _ = phone.callKit.userEnds(call.uuid)
        try await phone.client.logOut(phone.account)
        try await phone.until("let go again") { app.begun.last == "sipwake log-out" && app.backgroundTasks.isEmpty }
        #expect(try phone.gateway.bindings().isEmpty)
        phone.end()
    }

    @Test func aRefreshInTheBackgroundRenewsTheBindingAndAsksForTheNext() async throws {
        let phone = try await Device()
        let scheduler = BGTaskScheduler.shared
        let refresh = BackgroundRefresh(phone.client, accounts: [phone.account], identifier: BGTaskScheduler.permitted)
        let asked = scheduler.requests.count
        let task = scheduler.start()
        try await phone.until("renewed") { task.completions == [true] }
        #expect(scheduler.requests.count == asked + 1)
        // The time limit of iOS ends before the server answers.
        let cut = scheduler.start()
        cut.expirationHandler?()
        try await phone.until("ended") { cut.completions == [false] }
        withExtendedLifetime(refresh) {}
        phone.end()
    }

    @Test func aRefreshInTheBackgroundWaitsForAnUnconfirmedLogOut() async throws {
        let phone = try await Device()
        let lost: [String: Any] = ["action": "drop", "direction": "received", "method": "REGISTER", "count": 1_000]
        try phone.gateway.ask("faults", ["faults": [lost]])
        try await phone.client.logOut(phone.account)
        #expect(phone.client.pendingLogOuts == 1)
        let refresh = BackgroundRefresh(phone.client, accounts: [], identifier: BGTaskScheduler.permitted)
        let task = BGTaskScheduler.shared.start()
        #expect(task.completions.isEmpty)
        try phone.gateway.ask("clear_faults")
        try await phone.until("told") { task.completions == [true] }
        #expect(phone.client.pendingLogOuts == 0)
        withExtendedLifetime(refresh) {}
        phone.end()
    }

    @Test func aRefreshThatInfoPlistDoesNotPermitIsReported() async throws {
        let phone = try await Device()
        _ = BackgroundRefresh(phone.client, accounts: [], identifier: "another")
        try await phone.until("told") { phone.failures.filter { $0.domain == "BackgroundTasks" }.count == 2 }
        phone.end()
    }

    @Test func withoutPushKitAndCallKitANotificationRings() async throws {
        let gateway = try MockGateway()
        let setup = alice(gateway)
        let account = try setup.account.id()
        let client = try SipWakeClient(store: MemoryStore(), accounts: [setup])
        let media = Media()
        let calls = NotificationCalls(client, media: media, accounts: [account])
        calls.alertToken(Data(repeating: 0xa1, count: 32))
        try await client.register(account)
        func until(_ holds: () throws -> Bool) async throws {
            for _ in 0..<6_000 where try !holds() { try await Task.sleep(for: .milliseconds(10)) }
            try #require(try holds())
        }
        try await until { try gateway.tokens() == [firstToken] }
        try gateway.ask("sleep", ["user": "alice"])
        let number = try gateway.placeCall()
        let action = calls.receive(try gateway.nextPush())
        let center = UNUserNotificationCenter.current()
        try await until { center.title(action.uuid.uuidString) != nil }
        #expect(calls.userResponded("answer", to: action.uuid.uuidString))
        try await until { media.connected == [action.uuid] }
        try gateway.ask("bye", ["call": number])
        try await until { center.title(action.uuid.uuidString) == nil }
        #expect(!calls.userResponded("answer", to: "another"))
        client.shutdown()
    }

    @Test func theExtensionCompletesOnceAndHandsCallsOver() async throws {
        final class Service: SipWakeNotificationService {
            var silent = false
            override func isSilent(_ action: PushAction) -> Bool { silent }
        }
        PlayedCallKit.shared.reset()
        let shown = Shown()
        func run(_ service: Service, _ payload: [AnyHashable: Any]) {
            service.didReceive(UNNotificationRequest(remote: payload)) { content in
                shown.add((content as? UNMutableNotificationContent)?.body)
            }
        }
        let chat = Service()
        run(chat, ["ntype": "1", "nfrom": "1234", "nmsg": "hello"])
        chat.serviceExtensionTimeWillExpire()
        #expect(shown.all == ["hello"], "once, though time was up as well")
        let silent = Service()
        silent.silent = true
        run(silent, ["ntype": "1", "nfrom": "1234", "nmsg": "hello"])
        #expect(shown.all == ["hello", nil])
        let call = Service()
        run(call, ["ntype": "0", "nfrom": "1234"])
        for _ in 0..<6_000 where shown.all.count < 3 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(PlayedCallKit.shared.payloadsHandedOver == 1 && shown.all.last == .some(nil), "the app shows the call")
        PlayedCallKit.shared.setEntitled(false)
        run(Service(), ["ntype": "0", "nfrom": "1234", "nmsg": "calls"])
        for _ in 0..<6_000 where shown.all.count < 4 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(shown.all.last != .some(nil), "without the entitlement the notification is shown")
    }

    @Test func theExtensionKnowsTheLogOutsOfTheSharedStoreAndWritesNothingThere() async throws {
        final class Service: SipWakeNotificationService {
            override var store: (any StateStore)? { KeychainStateStore() }
        }
        PlayedKeychain.shared.reset()
        let gateway = try MockGateway()
        let setup = alice(gateway)
        let client = try SipWakeClient(store: KeychainStateStore(), accounts: [setup])
        let account = try setup.account.id()
        let shown = Shown()
        func run(_ user: String) {
            Service().didReceive(UNNotificationRequest(remote: ["ntype": "1", "nfrom": "1234", "nmsg": "hello", "ntouser": user])) {
                shown.add(($0 as? UNMutableNotificationContent)?.body)
            }
        }
        run("alice")
        #expect(shown.all == ["hello"])
        try await client.setToken(firstToken, for: account)
        try await client.register(account)
        for _ in 0..<6_000 where try gateway.tokens() != [firstToken] { try await Task.sleep(for: .milliseconds(10)) }
        let events = client.events()
        #expect(try await client.logOut(account) == .durable)
        // It stores its records first.
        for await event in events { if case .loggedOut = event { break } }
        client.shutdown()
        let writes = PlayedKeychain.shared.writes
        run("alice")
        run("bob")
        #expect(shown.all == ["hello", nil, "hello"])
        PlayedKeychain.shared.setShut(true)
        run("alice")
        #expect(shown.all.last == .some("hello"), "a store that is shut silences nobody")
        #expect(PlayedKeychain.shared.writes == writes && PlayedKeychain.shared.violations == [])
        PlayedKeychain.shared.reset()
    }

    @Test func theExtensionOpensSealedPushesAndFollowsDoNotDisturb() async throws {
        final class Service: SipWakeNotificationService {
            override var store: (any StateStore)? { KeychainStateStore() }
        }
        PlayedKeychain.shared.reset()
        let gateway = try MockGateway()
        let setup = alice(gateway)
        let client = try SipWakeClient(store: KeychainStateStore(), accounts: [setup])
        let account = try setup.account.id()
        let key = try await client.pushKey()
        #expect(!"\(key)".contains(key.auth))
        try gateway.ask("seal_for", ["user": "alice", "p256dh": key.p256dh, "auth": key.auth])
        try await client.setToken(firstToken, for: account)
        try await client.register(account)
        for _ in 0..<6_000 where try gateway.tokens() != [firstToken] { try await Task.sleep(for: .milliseconds(10)) }
        try gateway.ask("send_push", ["user": "alice", "ntype": 1, "text": "see you at eight"])
        let payload = try gateway.nextPush()
        #expect(!"\(payload)".contains("see you"))
        let shown = Shown()
        func run() {
            Service().didReceive(UNNotificationRequest(remote: payload)) { shown.add(($0 as? UNMutableNotificationContent)?.body) }
        }
        run()
        #expect(shown.all == ["see you at eight"])
        #expect(client.push(payload, channel: .pushKit).text == "see you at eight", "the extension's look leaves it to the app")
        #expect(client.push(payload, channel: .pushKit).problem == .sealedReplayed)
        #expect(try await client.setDoNotDisturb(account, until: Date(timeIntervalSinceNow: 3600)) == .durable)
        client.shutdown()
        let writes = PlayedKeychain.shared.writes
        run()
        #expect(shown.all == ["see you at eight", nil])
        PlayedKeychain.shared.setShut(true)
        #expect(readPush(payload, channel: .apnsAlert, heeding: KeychainStateStore()).problem == .sealedKeysUnreadable)
        #expect(PlayedKeychain.shared.writes == writes && PlayedKeychain.shared.violations == [])
        PlayedKeychain.shared.reset()
    }

    @Test func theGuidesAppIsShortAndWakesForACall() async throws {
        let guide = try GuideRun.guideLines()
        #expect(guide.lines <= 80)
        #expect(guide.shown, "docs/swift.md does not show the app as it is here")
        try await GuideRun.run()
    }

    // The fake frameworks themselves.

    @Test func theFakeCallKitFindsLateRepeatedAndUnorderedReports() async throws {
        let callKit = PlayedCallKit.shared
        callKit.reset()
        let first = CXProvider(configuration: CXProviderConfiguration())
        let second = CXProvider(configuration: CXProviderConfiguration())
        #expect(callKit.violations.last?.contains("second provider") == true)
        let uuid = UUID()
        second.reportNewIncomingCall(with: uuid, update: CXCallUpdate()) { @Sendable _ in }
        second.reportCall(with: uuid, endedAt: nil, reason: .failed)
        callKit.userAnswers(uuid).fulfill()
        #expect(callKit.violations.last?.contains("out of order") == true)
        let late = callKit.userAnswers(uuid, within: -1)
        late.fulfill()
        #expect(callKit.violations.last?.contains("after its time") == true)
        late.fail()
        #expect(callKit.violations.last?.contains("twice") == true)
        second.reportCall(with: UUID(), updated: CXCallUpdate())
        #expect(callKit.violations.last?.contains("does not know") == true)
        withExtendedLifetime(first) {}
        callKit.reset()
    }
}

final class Shown: @unchecked Sendable {
    private let lock = NSLock()
    private var bodies: [String?] = []
    func add(_ body: String?) { lock.withLock { bodies.append(body) } }
    var all: [String?] { lock.withLock { bodies } }
}
