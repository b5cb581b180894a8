import BackgroundTasks
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
    private let stack: any CompanionStack  // the companion has no strong reference to it

    init(_ stack: any CompanionStack, _ controls: any CallControls, _ accounts: [AccountSetup], _ store: any StateStore) throws {
        self.stack = stack
        companion = try SipWakeCompanion(store: store, stack: stack, accounts: accounts)
        calls = CallKitBridge(companion, controls: controls, features: [.holding, .dtmf])
        pushes = PushKitBridge(companion, calls: calls, accounts: try accounts.map { try $0.account.id() })
    }
}
// end phone

/// The user's other actions besides answering and ending, on their way to the stack.
@MainActor
private final class Controls: CallControls {
    private(set) var commands: [CallCommand] = []

    func perform(_ command: CallCommand, on call: UUID) async -> Bool {
        commands.append(command)
        return true
    }
}

/// An app with its own stack on a phone with fake frameworks.
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
        (phone, stack) = try Self.start(gateway, setup, account, store, controls, registers: true)
        PKPushRegistry.played?.give(Data(repeating: 0xa1, count: 32))
        try await until("bound") { try self.gateway.tokens() == [firstToken] }
    }

    private static func start(
        _ gateway: MockGateway, _ setup: AccountSetup?, _ account: AccountID, _ store: MemoryStore, _ controls: Controls,
        _ credentials: Credentials = .password(password: "wonderland"), registers: Bool = false
    ) throws -> (BesidePhone, UdpStack) {
        let stack = UdpStack(gateway.address, user: "alice", credentials: credentials)
        let beside = Beside(stack, account)
        let phone = try BesidePhone(beside, controls, setup.map { [$0] } ?? [], store)
        beside.attach(phone.companion)
        if setup != nil { try phone.companion.stands(at: stack.contact, for: account) }
        if registers { try beside.register(account, for: phone.companion) }
        return (phone, stack)
    }

    /// iOS kills the app, and starts it again for the next push.
    func killed() throws {
        kill()
        try gateway.ask("sleep", ["user": "alice", "close": true])
    }

    /// It has no time to register before the push comes.
    func restart() throws {
        (phone, stack) = try Self.start(gateway, setup, account, store, controls)
    }

    /// Nobody is logged in. The app starts for a pending log-out.
    func restartLoggedOut() throws {
        let asking = try SipWakeCompanion(store: store, stack: Nobody.shared)
        let credentials = try asking.pending().first.map(\.credentials)
        asking.shutdown()
        (phone, stack) = try Self.start(gateway, nil, account, store, controls, try #require(credentials))
    }

    func refresh() -> BackgroundRefresh {
        let accounts = (try? phone.companion.pending().isEmpty) == true ? [account] : []
        return BackgroundRefresh(phone.companion, accounts: accounts, identifier: BGTaskScheduler.permitted)
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
    @Test func aPushToAKilledAppAndTheOtherStacksInviteAreOneCall() async throws {
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

    @Test func callsThatTheOtherStackEndsLeaveTheScreenAndALatePushDoesNotRing() async throws {
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

    @Test func aRefreshInTheBackgroundMakesTheOtherStackRegisterAndDeliverALogOut() async throws {
        let device = try await BesideDevice()
        let renews = device.refresh()
        let renewed = BGTaskScheduler.shared.start()
        try await device.until("renewed") { renewed.completions == [true] }
        withExtendedLifetime(renews) {}

        // The log-out reaches no server, and the process ends.
        let lost: [String: Any] = ["action": "drop", "direction": "received", "method": "REGISTER", "count": 1_000]
        try device.gateway.ask("faults", ["faults": [lost]])
        try device.phone.companion.logOut(device.account)
        device.kill()
        try device.gateway.ask("clear_faults")
        #expect(try !device.gateway.bindings().isEmpty)
        try device.restartLoggedOut()
        let delivers = device.refresh()
        let task = BGTaskScheduler.shared.start()
        try await device.until("delivered") { task.completions == [true] }
        #expect(try device.phone.companion.pending().isEmpty && device.gateway.bindings().isEmpty)
        withExtendedLifetime(delivers) {}
        device.kill()
        #expect(BGTaskScheduler.shared.violations.isEmpty)
    }
}
