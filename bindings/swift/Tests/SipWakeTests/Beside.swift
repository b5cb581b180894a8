import Foundation
import SipWake

// The code that docs/beside.md shows, between `begin` and `end`. It is compiled and run, and a test compares the page with this file.

// begin beside
/// Connects a stack and the companion. It uses the functions of UdpStack; your stack has others.
final class Beside: CompanionStack, @unchecked Sendable {
    private let stack: UdpStack
    private let account: AccountID
    private let lock = NSLock()  // guards the invites
    private var invites: [UUID: SipMessage] = [:]

    init(_ stack: UdpStack, _ account: AccountID) {
        self.stack = stack
        self.account = account
    }

    func attach(_ companion: SipWakeCompanion) {
        stack.take { [weak self, weak companion] request in
            guard let self, let companion else { return }
            try? request.method == "INVITE" ? invited(request, companion) : over(request, companion)
        }
    }

    func register(_ account: AccountID, for companion: SipWakeCompanion) throws {
        let say = try companion.registerTags(account)
        stack.register(say) { [weak self] in try? self?.heard($0, say, companion) }
    }

    private func heard(_ response: SipMessage, _ say: CompanionRegister, _ companion: SipWakeCompanion) throws {
        let shown = RegisterResponse(status: response.status ?? 408, headers: response.headers, register: say.number)
        switch try companion.heard(shown, from: say.account).next {
        case .again: try register(say.account, for: companion)
        case .authenticate(_, let digestURI):
            let now = try companion.registerTags(say.account)
            stack.register(now, answering: response["WWW-Authenticate"], digestURI: digestURI) { [weak self] in
                try? self?.heard($0, now, companion)
            }
        default: break  // the companion asks again later
        }
    }

    private func invited(_ invite: SipMessage, _ companion: SipWakeCompanion) throws {
        // Locked until the INVITE is stored: the user may answer at once, and `accept` is called on another thread.
        let says = try lock.withLock {
            let says = try companion.invited(invite.headers, for: account)
            switch says {
            case .ring(let call, _), .accept(let call): invites[call] = invite
            case .refuse: break
            }
            return says
        }
        switch says {
        case .ring: stack.respond(to: invite, 180)
        case .accept(let call): try accept(call, for: companion)
        case .refuse(_, let status): stack.respond(to: invite, status)
        }
    }

    func accept(_ call: UUID, for companion: SipWakeCompanion) throws {
        guard let invite = lock.withLock({ invites[call] }) else { return }
        stack.respond(to: invite, 200)
        try companion.answered(call)
    }

    func refuse(_ call: UUID, with status: UInt16, for companion: SipWakeCompanion) {
        if let invite = lock.withLock({ invites.removeValue(forKey: call) }) { stack.respond(to: invite, status) }
    }

    func hangUp(_ call: UUID, for companion: SipWakeCompanion) throws {
        if let invite = lock.withLock({ invites.removeValue(forKey: call) }) { stack.bye(invite) }
        try companion.ended(call, .hungUp)
    }

    private func over(_ request: SipMessage, _ companion: SipWakeCompanion) throws {
        let ended = lock.withLock { invites.first { $0.value["Call-ID"] == request["Call-ID"] } }
        guard let (call, invite) = ended else { return }
        _ = lock.withLock { invites.removeValue(forKey: call) }
        if request.method == "BYE" { return try companion.ended(call, .hungUpByCaller) }
        stack.respond(to: invite, 487)
        try companion.cancelled(call, headers: request.headers)
    }
}
// end beside

/// One run of an app with a stack, from its start until the system kills it.
final class BesideApp: Sendable {
    let companion: SipWakeCompanion
    let account: AccountID
    let beside: Beside
    private let stack: UdpStack
    private let events: AsyncStream<SipWakeEvent>

    init(
        store: any StateStore, gateway address: String, account: AccountID, setup: AccountSetup?,
        credentials: Credentials = .password(password: "wonderland"), deaf: Bool = false
    ) throws {
        self.account = account
        stack = UdpStack(address, user: "alice", credentials: credentials)
        beside = Beside(stack, account)
        companion = try SipWakeCompanion(store: store, stack: deaf ? Nobody.shared : beside, accounts: setup.map { [$0] } ?? [])
        events = companion.events()
        beside.attach(companion)
        if setup != nil { try companion.stands(at: stack.contact, for: account) }
    }

    func next<T: Sendable>(_ wanted: @escaping @Sendable (SipWakeEvent) -> T?) async throws -> T {
        try await within(patience) { [events] in
            for await event in events {
                if case .failed(let failure) = event { throw failure }
                if let found = wanted(event) { return found }
            }
            throw Timeout()
        }
    }

    func kill() {
        companion.shutdown()
        stack.close()
    }
}

/// A stack that does nothing.
final class Nobody: CompanionStack {
    static let shared = Nobody()

    func register(_ account: AccountID, for companion: SipWakeCompanion) {}
    func accept(_ call: UUID, for companion: SipWakeCompanion) {}
    func refuse(_ call: UUID, with status: UInt16, for companion: SipWakeCompanion) {}
    func hangUp(_ call: UUID, for companion: SipWakeCompanion) {}
}
