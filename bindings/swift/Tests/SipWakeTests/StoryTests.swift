import Foundation
import SipWake
import SipWakeTesting
import Testing

@Suite(.serialized) struct StoryTests {
    @Test(arguments: ["mizutech", "rfc8599", "xmpush", "opensips", "kamailio"], [Transport.udp, .tcp])
    func aPhoneIsWokenForACallAndItsUserLogsOut(profile: String, transport: Transport) async throws {
        let store = MemoryStore()
        let gateway = try MockGateway(profile: profile)
        let setup = alice(gateway, transport: transport)
        try await firstRun(store, setup)
        try gateway.ask("sleep", ["user": "alice", "close": true])
        let call = try gateway.placeCall()
        let push = try gateway.nextPush()
        try await secondRun(gateway, store, setup, call, push)
        let violations = try gateway.violations()
        #expect(violations.isEmpty, "\(violations)")
    }

    private func firstRun(_ store: MemoryStore, _ setup: AccountSetup) async throws {
        let app = try App(store: store, setup: setup)
        #expect(try await app.client.setToken(firstToken, for: app.account) == .taken)
        try await app.client.register(app.account)
        let registration = try await app.registration()
        #expect(registration.verdict.standing != .refused)
        #expect(registration.token == firstToken)
        app.client.shutdown()
    }

    private func secondRun(
        _ gateway: MockGateway, _ store: MemoryStore, _ setup: AccountSetup, _ call: Int, _ push: [AnyHashable: Any]
    ) async throws {
        let app = try App(store: store, setup: setup)
        let action = app.client.push(push, channel: .pushKit)
        // RFC 8599 gives a push no content. On PushKit the push of such a server is a call from an unknown caller until its INVITE comes.
        let bare = action.callID == nil
        #expect(bare == !["mizutech", "xmpush"].contains(gateway.profile))
        #expect(action.duty == .reportCall)
        _ = try await app.registration()
        let (uuid, announced) = try await app.next { event -> (UUID, Bool)? in
            if case .call(let call) = event, case .ringing(_, let announced, _) = call.change { (call.id, announced) } else { nil }
        }
        #expect(announced)
        #expect(uuid == action.uuid, "the push and its INVITE are one call")

        try gateway.waitCall(call, "ringing")
        try gateway.ask("cancel", ["call": call])
        let ended = try await app.next { event -> EndReason? in
            if case .call(let call) = event, call.id == uuid, case .ended(let reason, _) = call.change { reason } else { nil }
        }
        #expect(ended == .cancelled)
        try gateway.waitCall(call, "cancelled")
        // A late push without content looks like the push of the next call.
        if !bare { #expect(app.client.push(push, channel: .pushKit).duty == .reportThenEnd, "a late push must not ring") }

        try await app.client.setToken(secondToken, for: app.account)
        _ = try await app.registration(token: secondToken)
        try await app.client.logOut(app.account)
        #expect(app.client.push(push, channel: .pushKit).kind == .ignore(reason: .loggedOut))
        let out = try await app.next { event -> LogOut? in if case .loggedOut(_, let out) = event { out } else { nil } }
        #expect([.proven, .accepted].contains(out.removed))
        let left = try gateway.bindings()
        #expect(left.isEmpty, "the gateway has not forgotten the user: \(left)")
    }
}
