import AVFAudio
import CallKit
import Foundation
import PushKit
import SipWake
import SipWakeApple
import SipWakeTesting
import Testing

/// A media engine with one answer for every offer.
@MainActor
final class Media: CallMedia {
    private(set) var commands: [CallCommand] = []
    private(set) var connected: [UUID] = []
    private(set) var ended: [UUID: EndReason] = [:]
    var obeys = true

    func answer(_ call: UUID, to offer: SessionDescription?) async throws -> SessionDescription { SessionDescription(sdp: "v=0 ours") }
    func connected(_ call: UUID, answer: SessionDescription?) { connected.append(call) }
    func perform(_ command: CallCommand, on call: UUID) async -> Bool {
        commands.append(command)
        return obeys
    }
    func ended(_ call: UUID, _ reason: EndReason) { ended[call] = reason }
}

/// An app with the bridges on a phone with fake frameworks. It is registered at the mock gateway and asleep.
@MainActor
final class Device {
    let gateway: MockGateway
    let client: SipWakeClient
    let account: AccountID
    let media = Media()
    let calls: CallKitBridge
    let pushes: PushKitBridge
    let callKit = PlayedCallKit.shared
    private(set) var failures: [Failure] = []
    private(set) var audio: [Bool] = []

    init(features: CallFeatures = [], answering policy: AnswerPolicy = .answerable, options: ClientOptions = ClientOptions())
        async throws
    {
        PlayedCallKit.shared.reset()
        gateway = try MockGateway()
        let setup = alice(gateway)
        account = try setup.account.id()
        client = try SipWakeClient(store: MemoryStore(), accounts: [setup], options: options)
        calls = CallKitBridge(client, media: media, features: features, answering: policy)
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

    /// Ends the app, and reports its violations.
    func end() {
        calls.invalidate()
        client.shutdown()
        #expect(callKit.violations == [])
    }

    func until(_ what: String, _ holds: () throws -> Bool) async throws {
        for _ in 0..<6_000 {
            if try holds() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("never \(what); reports \(callKit.reports), failures \(failures), violations \(callKit.violations)")
        throw Timeout()
    }

    /// Places a call and delivers its push. With `withoutName`, the server only knows the number.
    func pushedCall(_ fields: [String: Any] = [:], withoutName: Bool = false) throws -> (number: Int, uuid: UUID, payload: [AnyHashable: Any]) {
        try gateway.ask("sleep", ["user": "alice"])
        let number = try gateway.placeCall(fields)
        var payload = try gateway.nextPush()
        if withoutName {
            var data = try #require(payload["data"] as? [String: Any])
            try #require(data.removeValue(forKey: "nfromusername") != nil)
            payload["data"] = data
        }
        let before = callKit.reports.count
        try #require(deliver(payload).reported)
        return (number, callKit.reports[before], payload)
    }

    @discardableResult
    func deliver(_ payload: [AnyHashable: Any], mustReport: Bool? = nil) throws -> Delivery {
        try #require(PKPushRegistry.played).deliver(payload, mustReport: mustReport)
    }

    /// Waits for the caller outside the main actor, because the app needs that.
    func caller(_ call: Int, sees state: String) async throws {
        try await Task.detached { [gateway] in try gateway.waitCall(call, state) }.value
    }
}

/// The cancel push of a call.
func cancel(of payload: [AnyHashable: Any]) -> [AnyHashable: Any] {
    payload.merging(["ntype": "2"]) { $1 }
}
