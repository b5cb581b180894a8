import CallKit
import Foundation
import PushKit
import SipWake
import SipWakeApple
import SipWakeTesting
import Testing

// begin phone
/// PushKit and CallKit over a companion: the stack takes the calls.
@MainActor
final class BesidePhone {
    let companion: SipWakeCompanion
    let calls: CallKitBridge
    let pushes: PushKitBridge
    private let stack: any CompanionStack  // the companion does not keep it

    init(_ stack: any CompanionStack, _ controls: any CallControls, _ accounts: [AccountSetup], _ store: any StateStore) throws {
        self.stack = stack
        companion = try SipWakeCompanion(store: store, stack: stack, accounts: accounts)
        calls = CallKitBridge(companion, controls: controls, features: [.holding, .dtmf])
        pushes = PushKitBridge(companion, calls: calls, accounts: try accounts.map { try $0.account.id() })
    }
}
// end phone

/// What the user does besides answering and ending, on its way to the stack.
@MainActor
private final class Controls: CallControls {
    private(set) var commands: [CallCommand] = []

    func perform(_ command: CallCommand, on call: UUID) async -> Bool {
        commands.append(command)
        return true
    }
}

/// An app with a stack of its own on a phone whose frameworks are played.
@MainActor
private final class BesideDevice {
    let gateway: MockGateway
    let store = MemoryStore()
    let controls = Controls()
    let account: AccountID
    let callKit = PlayedCallKit.shared
    private(set) var phone: BesidePhone
    private var stack: UdpStack
    private let setup: AccountSetup

    init() async throws {
        PlayedCallKit.shared.reset()
        gateway = try MockGateway()
        setup = alice(gateway, transport: .udp)
        account = try setup.account.id()
        (phone, stack) = try Self.start(gateway, setup, store, controls, registers: true)
        PKPushRegistry.played?.give(Data(repeating: 0xa1, count: 32))
        try await until("bound") { try self.gateway.tokens() == [firstToken] }
    }

    private static func start(
        _ gateway: MockGateway, _ setup: AccountSetup, _ store: MemoryStore, _ controls: Controls, registers: Bool
    ) throws -> (BesidePhone, UdpStack) {
        let stack = UdpStack(gateway.address, user: "alice", credentials: .password(password: "wonderland"))
        let account = try setup.account.id()
        let beside = Beside(stack, account)
        let phone = try BesidePhone(beside, controls, [setup], store)
        beside.attach(phone.companion)
        try phone.companion.stands(at: stack.contact, for: account)
        if registers { try beside.register(account, for: phone.companion) }
        return (phone, stack)
    }

    /// iOS kills the app and, for the next push, starts it again.
    func killed() throws {
        kill()
        try gateway.ask("sleep", ["user": "alice", "close": true])
    }

    /// It has no time to register before the push comes.
    func restart() throws {
        (phone, stack) = try Self.start(gateway, setup, store, controls, registers: false)
    }

    func kill() {
        phone.calls.invalidate()
        phone.companion.shutdown()
        stack.close()
    }

    func until(_ what: String, _ holds: () throws -> Bool) async throws {
        for _ in 0..<6_000 {
            if try holds() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("never \(what); reports \(callKit.reports), violations \(callKit.violations)")
        throw Timeout()
    }

    func caller(_ call: Int, sees state: String) async throws {
        try await Task.detached { [gateway] in try gateway.waitCall(call, state) }.value
    }
}

extension AppleTests {
    @Test func aPushOfAKilledAppIsTheCallThatTheOtherStackTakes() async throws {
        let device = try await BesideDevice()
        try device.killed()
        let number = try device.gateway.placeCall()
        let push = try device.gateway.nextPush()
        try device.restart()
        #expect(try #require(PKPushRegistry.played).deliver(push).reported, "before the delegate returns")
        let uuid = try #require(device.callKit.reports.last)
        let answer = device.callKit.userAnswers(uuid)
        try await device.caller(number, sees: "answered")
        try await device.until("connected") { answer.isComplete && device.callKit.call(uuid)?.state == .connected }
        #expect(device.phone.companion.calls.map(\.id) == [uuid], "one call, one UUID")
        let mute = device.callKit.userMutes(uuid)
        try await device.until("muted") { mute.isComplete && device.controls.commands == [.mute(true)] }
        _ = device.callKit.userEnds(uuid)
        try await device.caller(number, sees: "hung_up_by_callee")
        try await device.until("over") { device.phone.companion.calls.isEmpty }
        device.kill()
        #expect(device.callKit.violations == [])
    }

    @Test func theOtherStacksEndsLeaveTheScreenAndALatePushIsNoGhost() async throws {
        let device = try await BesideDevice()
        try device.gateway.ask("sleep", ["user": "alice", "close": true])
        let number = try device.gateway.placeCall()
        let push = try device.gateway.nextPush()
        #expect(try #require(PKPushRegistry.played).deliver(push).reported)
        let uuid = try #require(device.callKit.reports.last)
        try await device.caller(number, sees: "ringing")
        try device.gateway.cancelCall(number)
        try await device.until("ended") { device.callKit.call(uuid)?.state == .ended }
        #expect(device.callKit.call(uuid)?.reason == .remoteEnded)
        #expect(try #require(PKPushRegistry.played).deliver(push).reported, "iOS kills who does not report")
        try await device.until("no ghost") { device.callKit.call(uuid)?.state == .ended }
        #expect(device.phone.companion.calls.isEmpty)
        device.kill()
        #expect(device.callKit.violations == [])
    }

    @Test func aDeclinedCallIsRefusedByTheOtherStack() async throws {
        let device = try await BesideDevice()
        let number = try device.gateway.placeCall()
        try await device.until("shown") { device.callKit.reports.count == 1 }
        let uuid = try #require(device.callKit.reports.last)
        _ = device.callKit.userEnds(uuid)
        try await device.caller(number, sees: "rejected")
        device.kill()
        #expect(device.callKit.violations == [])
    }
}
