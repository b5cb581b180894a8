import Foundation
import LiveCommunicationKit
import PushKit
import SipWake
import SipWakeApple
import SipWakeTesting
import Testing

/// An app that shows its calls in LiveCommunicationKit.
@MainActor
private final class ConversationPhone {
    let gateway: MockGateway
    let client: SipWakeClient
    let media = Media()
    let calls: LiveCommunicationBridge
    let pushes: PushKitBridge
    let system = PlayedConversations.shared
    private(set) var failures: [Failure] = []
    private(set) var audio: [Bool] = []

    init(features: CallFeatures = []) async throws {
        PlayedConversations.shared.reset()
        gateway = try MockGateway()
        let setup = alice(gateway)
        let account = try setup.account.id()
        client = try SipWakeClient(store: MemoryStore(), accounts: [setup])
        calls = LiveCommunicationBridge(client, media: media, features: features)
        pushes = PushKitBridge(client, calls: calls, accounts: [account])
        calls.audioSessionChanged = { [weak self] _, active in self?.audio.append(active) }
        let events = client.events()
        Task { [weak self] in
            for await event in events { if case .failed(let failure) = event { self?.failures.append(failure) } }
        }
        PKPushRegistry.played?.give(Data(repeating: 0xa1, count: 32))
        try await client.register(account)
        try await until("bound") { try self.gateway.tokens() == [firstToken] }
    }

    func end() {
        calls.invalidate()
        client.shutdown()
        #expect(system.violations == [])
    }

    func until(_ what: String, _ holds: () throws -> Bool) async throws {
        for _ in 0..<6_000 {
            if try holds() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("never \(what); reports \(system.reports), failures \(failures), violations \(system.violations)")
        throw Timeout()
    }

    func pushedCall(_ fields: [String: Any] = [:]) async throws -> (number: Int, uuid: UUID, payload: [AnyHashable: Any]) {
        try gateway.ask("sleep", ["user": "alice"])
        let number = try gateway.placeCall(fields)
        let payload = try gateway.nextPush()
        let before = system.reports.count
        try await deliver(payload)
        return (number, system.reports[before], payload)
    }

    /// Delivers a push. Its completion is called after the system has accepted the call.
    func deliver(_ payload: [AnyHashable: Any]) async throws {
        let before = system.reports.count
        let delivery = try #require(PKPushRegistry.played).deliver(payload, withoutCallKit: true)
        try await until("completed") { delivery.completed == 1 }
        #expect(system.reports.count > before, "PushKit's completion was called before the call was reported")
    }

    func caller(_ call: Int, sees state: String) async throws {
        try await Task.detached { [gateway] in try gateway.waitCall(call, state) }.value
    }
}

extension AppleTests {
    @MainActor @Suite struct ConversationTests {
        @Test func aPushIsReportedAndJoinedWhenItsInviteIsHere() async throws {
            let phone = try await ConversationPhone()
            let call = try await phone.pushedCall(["sdp": "v=0 theirs", "invite_delay_ms": 300, "display": "Bob"])
            var configured = 0
            phone.calls.configureAudio = { configured += 1 }
            let join = phone.system.userJoins(call.uuid)
            try await phone.until("connected") { phone.media.connected == [call.uuid] }
            #expect(join.isComplete && configured == 1 && phone.system.state(call.uuid) == .joined)
            try await phone.until("audio") { phone.audio == [true] }
            try await phone.caller(call.number, sees: "answered")
            #expect(phone.system.call(call.uuid)?.name?.lowercased() == "bob")
            try phone.gateway.ask("bye", ["call": call.number])
            try await phone.until("ended") { phone.system.call(call.uuid)?.reason == .remoteEnded }
            try await phone.until("silent") { phone.audio == [true, false] }
            phone.end()
        }

        @Test func theUserHangsUp() async throws {
            let phone = try await ConversationPhone(features: [.holding, .dtmf, .grouping])
            let call = try await phone.pushedCall()
            _ = phone.system.userJoins(call.uuid)
            try await phone.until("connected") { phone.media.connected == [call.uuid] }
            let other = UUID()
            let actions = [
                phone.system.userMutes(call.uuid), phone.system.userPauses(call.uuid), phone.system.userDials("12#", in: call.uuid),
                phone.system.userMerges(call.uuid, with: other),
            ]
            try await phone.until("done") { actions.allSatisfy(\.isComplete) }
            #expect(phone.media.commands == [.mute(true), .hold(true), .dtmf("12#"), .group(with: other)])
            let end = phone.system.userEnds(call.uuid)
            try await phone.caller(call.number, sees: "hung_up_by_callee")
            try await phone.until("ended") { end.isComplete && phone.media.ended[call.uuid] == .hungUp }
            phone.end()
        }

        @Test func changesWhileTheSystemAcceptsTheCallAreReportedAfterwards() async throws {
            let phone = try await ConversationPhone()
            phone.system.takeTime(.milliseconds(500))
            let push: [AnyHashable: Any] = ["ntype": "2", "nfrom": "1234", "nfromusername": "John", "ncallid": "gone@x", "ntouser": "alice"]
            try await phone.deliver(push)
            let uuid = try #require(phone.system.reports.last)
            #expect(phone.system.call(uuid)?.name == "", "nobody's name")
            try await phone.until("ended") { phone.system.state(uuid) == .left }
            phone.end()
        }

        @Test func theCancelOfAJoinedCallIsReportedAndTheCallStays() async throws {
            let phone = try await ConversationPhone()
            let call = try await phone.pushedCall()
            _ = phone.system.userJoins(call.uuid)
            try await phone.until("connected") { phone.media.connected == [call.uuid] }
            try await phone.deliver(cancel(of: call.payload))
            #expect(phone.system.reports.last == call.uuid && phone.system.state(call.uuid) == .joined)
            #expect(phone.failures.isEmpty)
            phone.end()
        }

        @Test func aCallThatTheSystemRefusesIsReportedAndItsCallerGetsBusy() async throws {
            let phone = try await ConversationPhone()
            phone.system.refuse(true)
            let call = try await phone.pushedCall()
            try await phone.caller(call.number, sees: "rejected")
            try await phone.until("told") { phone.failures.contains { $0.domain == "LiveCommunicationKit" } }
            phone.end()
        }

        @Test func aResetOfTheSystemEndsTheCalls() async throws {
            let phone = try await ConversationPhone()
            let call = try await phone.pushedCall()
            try await phone.caller(call.number, sees: "ringing")
            phone.system.crash()
            try await phone.until("ended") { phone.media.ended[call.uuid] != nil }
            try await phone.caller(call.number, sees: "rejected")
        }
    }
}
