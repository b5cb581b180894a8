import Foundation
import SipWake
import SipWakeTesting
import Testing

/// A fake CallKit that records every call to it.
@MainActor
final class Screen: CallScreen {
    private(set) var shown: [UUID: ShownCall] = [:]
    private(set) var ends: [UUID: EndReason] = [:]
    private(set) var asked: [UUID] = []
    var takes = true
    /// Results are held back until `answer`.
    var hesitates = false
    private var held: [@MainActor () -> Void] = []

    func show(_ call: ShownCall, done: @escaping @MainActor (ShowOutcome) -> Void) {
        asked.append(call.uuid)
        guard takes else {
            let refusal = ShowOutcome.refused(.doNotDisturb, Failure(domain: "Screen", doing: "show", code: 3, reason: "a Focus"))
            return settle { done(refusal) }
        }
        let known = shown.updateValue(call, forKey: call.uuid) != nil
        settle { done(known ? .known : .new) }
    }

    private func settle(_ result: @escaping @MainActor () -> Void) {
        if hesitates { held.append(result) } else { result() }
    }

    func answer() {
        let results = held
        (held, hesitates) = ([], false)
        for result in results { result() }
    }

    func update(_ call: ShownCall) { shown[call.uuid] = call }
    func end(_ call: UUID, _ reason: EndReason) { ends[call] = reason }
}

/// A fake action of the user.
@MainActor
final class Tap: CallScreenAction {
    let deadline: Date?
    private(set) var outcome: String?

    init(until deadline: Date? = nil) { self.deadline = deadline }

    func fulfill() { outcome = (outcome ?? "") + "fulfilled" }
    func fail() { outcome = (outcome ?? "") + "failed" }
}

/// A media engine with one answer for every offer.
@MainActor
final class Media: CallMedia {
    private(set) var offers: [String] = []
    private(set) var connected: [UUID] = []
    private(set) var ended: [UUID: EndReason] = [:]
    var refuses = false
    var hesitates = false

    func answer(_ call: UUID, to offer: SessionDescription?) async throws -> SessionDescription {
        offers.append(offer?.text ?? "")
        while hesitates { try await Task.sleep(nanoseconds: 5_000_000) }
        if refuses { throw Timeout() }
        return SessionDescription(sdp: "v=0 ours")
    }

    func connected(_ call: UUID, answer: SessionDescription?) { connected.append(call) }
    func renegotiate(_ call: UUID, offer: SessionDescription?) -> SessionDescription? {
        offers.append(offer?.text ?? "")
        return refuses ? nil : SessionDescription(sdp: "v=0 again")
    }
    func ended(_ call: UUID, _ reason: EndReason) { ended[call] = reason }
}

/// A registered, sleeping phone with its screen and media engine.
@MainActor
struct Phone {
    let gateway: MockGateway
    let app: App
    let screen = Screen()
    let media = Media()
    let desk: CallDesk

    init(answering policy: AnswerPolicy = .answerable) async throws {
        gateway = try MockGateway()
        app = try App(store: MemoryStore(), setup: alice(gateway))
        desk = CallDesk(app.client, screen: screen, media: media, answering: policy)
        try await app.client.setToken(firstToken, for: app.account)
        try await app.client.register(app.account)
        _ = try await app.registration()
    }

    /// Places a call whose caller waits until the phone wakes, and gives its push to the phone.
    func pushedCall(_ fields: [String: Any] = [:]) throws -> (number: Int, uuid: UUID) {
        try gateway.ask("sleep", ["user": "alice"])
        let number = try gateway.placeCall(fields)
        let action = app.client.push(try gateway.nextPush(), channel: .pushKit)
        desk.report(action) {}
        return (number, action.uuid)
    }

    /// Waits for the caller outside the main actor, because the phone needs that.
    func caller(_ call: Int, sees state: String) async throws {
        try await gateway.sees(call, state)
    }

    func until(_ what: String, _ holds: () -> Bool) async throws {
        for _ in 0..<12_000 {
            if holds() { return }
            try await Task.sleep(nanoseconds: 10_000_000)
        }
        Issue.record("\(what): shown \(screen.shown), ends \(screen.ends), media \(media.connected) \(media.ended)")
        throw Timeout()
    }
}

@MainActor @Suite(.serialized) struct CallTests {
    @Test func aDeskThatLostEventsCatchesUpWithItsCalls() async throws {
        let phone = try await Phone()
        /// Keeps the desk, which is on this actor, from reading until there are more events than the queue holds.
        func lose() { for number in 0..<400 { phone.app.client.note(Failure(domain: "test", doing: "lose", reason: "\(number)")) } }
        let over = try phone.pushedCall()
        try await phone.caller(over.number, sees: "ringing")
        let number = try phone.gateway.placeCall(["sdp": "v=0 theirs"])
        try phone.gateway.waitCall(number, "ringing")
        try phone.gateway.ask("cancel", ["call": over.number])
        try phone.gateway.waitCall(over.number, "cancelled")
        for _ in 0..<6_000 where phone.app.client.calls.count != 1 || phone.app.client.calls[0].id == over.uuid { usleep(10_000) }
        let call = try #require(phone.app.client.calls.first).id
        #expect(phone.screen.shown[call] == nil && phone.screen.ends[over.uuid] == nil, "nothing was read yet")
        lose()
        try await phone.until("caught up") { phone.screen.shown[call] != nil && phone.screen.ends[over.uuid] != nil }
        let tap = Tap()
        phone.desk.userAnswers(call, tap)
        try await phone.until("connected") { phone.media.connected == [call] }
        lose()
        try phone.gateway.ask("bye", ["call": number])
        // A reader that lost the event does not know the reason.
        try await phone.until("ended") { phone.media.ended[call] != nil && phone.screen.ends[call] != nil }
        #expect(tap.outcome == "fulfilled" && phone.media.offers == ["v=0 theirs"], "accepted once")
        phone.app.client.shutdown()
    }

    @Test func anAnswerBeforeTheInviteIsFulfilledWhenTheInviteCanBeAnswered() async throws {
        let phone = try await Phone()
        let call = try phone.pushedCall(["sdp": "v=0 theirs", "invite_delay_ms": 300])
        #expect(phone.screen.shown[call.uuid] != nil, "reported before the delegate returns")
        let tap = Tap()
        phone.desk.userAnswers(call.uuid, tap)
        #expect(tap.outcome == nil, "there is no INVITE yet")
        phone.media.hesitates = true
        try await phone.until("asked") { !phone.media.offers.isEmpty }
        #expect(tap.outcome == "fulfilled", "the audio session starts while the media engine answers")
        phone.media.hesitates = false
        try await phone.until("connected") { phone.media.connected == [call.uuid] }
        #expect(tap.outcome == "fulfilled")
        #expect(phone.media.offers == ["v=0 theirs"])
        try await phone.caller(call.number, sees: "answered")

        try phone.gateway.ask("reinvite", ["call": call.number, "sdp": "v=0 other"])
        try await phone.until("offered again") { phone.media.offers.last == "v=0 other" }
        try phone.gateway.ask("bye", ["call": call.number])
        try await phone.until("ended") { phone.screen.ends[call.uuid] == .hungUpByCaller }
        #expect(phone.media.ended == [call.uuid: .hungUpByCaller])
        #expect(tap.outcome == "fulfilled", "once")
    }

    @Test func theUserHangsUp() async throws {
        let phone = try await Phone()
        let call = try phone.pushedCall()
        try await phone.caller(call.number, sees: "ringing")
        phone.desk.userAnswers(call.uuid, Tap())
        try await phone.until("connected") { !phone.media.connected.isEmpty }
        let tap = Tap()
        phone.desk.userEnds(call.uuid, tap)
        #expect(tap.outcome == "fulfilled")
        try await phone.caller(call.number, sees: "hung_up_by_callee")
        try await phone.until("ended") { phone.media.ended[call.uuid] == .hungUp }
        #expect(phone.screen.ends.isEmpty, "CallKit knows what the user did")
    }

    @Test func theUserDeclines() async throws {
        let phone = try await Phone()
        let call = try phone.pushedCall(["invite_delay_ms": 300])
        phone.desk.userEnds(call.uuid, Tap())
        try await phone.caller(call.number, sees: "rejected")
        try await phone.until("ended") { phone.media.ended[call.uuid] == .declined }
    }

    @Test func aCallThatEndsBeforeItIsConnectedFailsTheAnswer() async throws {
        let phone = try await Phone(answering: .connected)
        phone.media.hesitates = true
        let call = try phone.pushedCall()
        let tap = Tap()
        phone.desk.userAnswers(call.uuid, tap)
        try await phone.until("asked") { !phone.media.offers.isEmpty }
        try phone.gateway.ask("cancel", ["call": call.number])
        try await phone.until("failed") { tap.outcome == "failed" }
        #expect(phone.screen.ends[call.uuid] == .cancelled)
        phone.media.hesitates = false
        try await phone.caller(call.number, sees: "cancelled")
        #expect(phone.media.connected.isEmpty)
        #expect(tap.outcome == "failed", "once")
    }

    @Test func anotherPhoneAnswers() async throws {
        let phone = try await Phone()
        let call = try phone.pushedCall()
        try await phone.caller(call.number, sees: "ringing")
        try phone.gateway.ask("answered_elsewhere", ["call": call.number])
        try await phone.until("ended") { phone.screen.ends[call.uuid] == .answeredElsewhere }
    }

    @Test func mediaThatCannotAnswerEndsTheCall() async throws {
        let phone = try await Phone(answering: .connected)
        phone.media.refuses = true
        let call = try phone.pushedCall()
        let tap = Tap()
        phone.desk.userAnswers(call.uuid, tap)
        try await phone.until("failed") { tap.outcome == "failed" }
        try await phone.caller(call.number, sees: "rejected")
        let seen = try phone.gateway.ask("call", ["call": call.number])
        #expect((seen["call"] as? [String: Any] ?? seen)["status"] as? Int == 488)
    }

    @Test func aCallThatTheSystemRefusesIsBusyHere() async throws {
        let phone = try await Phone()
        phone.screen.takes = false
        let call = try phone.pushedCall()
        try await phone.caller(call.number, sees: "rejected")
        let seen = try phone.gateway.ask("call", ["call": call.number])
        #expect((seen["call"] as? [String: Any] ?? seen)["status"] as? Int == 486)
    }

    @Test func anAnswerThatTakesTooLongForTheSystemFailsAndEndsTheCall() async throws {
        let phone = try await Phone()
        // The INVITE of this push never comes. The system's time limit is one second away, which is the margin.
        let action = phone.app.client.push(
            ["ntype": "0", "nfrom": "1234", "ncallid": "never@x", "ntouser": "alice"], channel: .pushKit)
        phone.desk.report(action) {}
        let tap = Tap(until: Date() + 1)
        phone.desk.userAnswers(action.uuid, tap)
        try await phone.until("failed") { tap.outcome == "failed" }
        try await phone.until("off the screen") { phone.screen.ends[action.uuid] != nil }
    }

    @Test func anAnswerIsNeverFulfilledTooLate() async throws {
        let phone = try await Phone()
        let call = try phone.pushedCall()
        try await phone.caller(call.number, sees: "ringing")
        let tap = Tap(until: Date() - 60)
        phone.desk.userAnswers(call.uuid, tap)
        try await phone.until("failed") { tap.outcome == "failed" }
        try await phone.caller(call.number, sees: "rejected")
    }

    @Test func anAnswerCountsAtOnceIfTheAppWantsThat() async throws {
        let phone = try await Phone(answering: .atOnce)
        let call = try phone.pushedCall(["invite_delay_ms": 300])
        let tap = Tap()
        phone.desk.userAnswers(call.uuid, tap)
        #expect(tap.outcome == "fulfilled")
        try await phone.until("connected") { phone.media.connected == [call.uuid] }
        #expect(tap.outcome == "fulfilled", "once")
    }

    @Test func aDeskThatIsCreatedLaterShowsTheRingingCall() async throws {
        let phone = try await Phone()
        let call = try phone.pushedCall()
        try await phone.caller(call.number, sees: "ringing")
        let (screen, media) = (Screen(), Media())
        let desk = CallDesk(phone.app.client, screen: screen, media: media)
        #expect(screen.shown[call.uuid] != nil)
        try phone.gateway.ask("cancel", ["call": call.number])
        try await phone.until("ended") { screen.ends[call.uuid] == .cancelled }
        withExtendedLifetime(desk) {}
    }

    @Test func aCallThatTheSystemRefusedIsNotShownAgainWhenItsInviteComes() async throws {
        let phone = try await Phone()
        phone.screen.takes = false
        phone.screen.hesitates = true
        let call = try phone.pushedCall()
        // The desk is on this actor, and reads of the INVITE only afterwards.
        try phone.gateway.waitCall(call.number, "ringing")
        phone.screen.answer()
        try await phone.caller(call.number, sees: "rejected")
        try await phone.until("ended") { phone.media.ended[call.uuid] != nil }
        #expect(phone.screen.asked == [call.uuid] && phone.screen.ends.isEmpty)
    }

    @Test func aCallThatEndsBeforeTheSystemShowsItLeavesTheScreenAfterwards() async throws {
        let phone = try await Phone()
        for takes in [true, false] {
            phone.screen.takes = takes
            phone.screen.hesitates = true
            let call = try phone.pushedCall()
            try await phone.caller(call.number, sees: "ringing")
            try phone.gateway.ask("cancel", ["call": call.number])
            try await phone.until("ended") { phone.media.ended[call.uuid] != nil }
            #expect(phone.screen.ends[call.uuid] == nil, "nothing is there yet")
            phone.screen.answer()
            #expect(phone.screen.ends[call.uuid] == (takes ? .cancelled : nil))
        }
    }

    @Test func aSecondPushOfACallThatTheUserDeclinedIsReportedAndEnded() async throws {
        let phone = try await Phone()
        let call = try phone.pushedCall(["invite_delay_ms": 300])
        let push = phone.app.client.push(
            ["ntype": "0", "nfrom": "1234", "ncallid": "twice@x", "ntouser": "alice"], channel: .pushKit)
        phone.desk.report(push) {}
        phone.desk.userEnds(push.uuid, Tap())
        var settled = false
        phone.desk.report(push) { settled = true }
        #expect(settled && phone.screen.shown[push.uuid]?.label == nil)
        phone.desk.userEnds(call.uuid, Tap())
        try await phone.caller(call.number, sees: "rejected")
    }

    @Test func answeringAnUnknownCallFails() async throws {
        let phone = try await Phone()
        let tap = Tap()
        phone.desk.userAnswers(UUID(), tap)
        try await phone.until("failed") { tap.outcome == "failed" }
        await #expect(throws: SipWakeError.self) { try await phone.app.client.accept(UUID(), with: SessionDescription(sdp: "v=0")) }
    }
}

extension MockGateway {
    /// Waits on a thread of its own. Swift's tasks only share as many threads as there are processors, and the awaited task needs one.
    func sees(_ call: Int, _ state: String) async throws {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try self.waitCall(call, state) }) }
        }
    }
}
