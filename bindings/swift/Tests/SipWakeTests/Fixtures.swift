import Foundation
import SipWake
import SipWakeTesting
import Testing

let firstToken = String(repeating: "a1", count: 32)
let secondToken = String(repeating: "b2", count: 32)
let alertToken = String(repeating: "c3", count: 32)

func alice(_ gateway: MockGateway? = nil, transport: Transport? = nil) -> AccountSetup {
    AccountSetup(
        account: AccountConfig(
            aor: "sip:alice@mock.example", credentials: .password(password: "wonderland"),
            gateways: gateway.map { [$0.address] } ?? [], transport: transport, userAgent: "sipwake-swift-test/1"),
        push: PushConfig(provider: .apns, package: "com.example.app", teamID: "ABCDE12345"))
}

struct Timeout: Error {}

/// How many seconds a test waits for an event at most. A busy machine is slow, not wrong.
let patience = 120.0

/// The result of the work, if it comes within this many seconds.
func within<T: Sendable>(_ seconds: Double, _ work: @escaping @Sendable () async throws -> T) async throws -> T {
    try await withThrowingTaskGroup(of: T.self) { group in
        group.addTask(operation: work)
        group.addTask {
            try await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
            throw Timeout()
        }
        defer { group.cancelAll() }
        return try await group.next()!
    }
}

/// One run of the app, from its start until the system kills it.
final class App: Sendable {
    let client: SipWakeClient
    let account: AccountID
    private let events: AsyncStream<SipWakeEvent>

    init(store: any StateStore, setup: AccountSetup, options: ClientOptions = ClientOptions()) throws {
        account = try setup.account.id()
        client = try SipWakeClient(store: store, accounts: [setup], options: options)
        events = client.events()
    }

    /// The first value that the function returns for an event.
    func next<T: Sendable>(_ wanted: @escaping @Sendable (SipWakeEvent) -> T?) async throws -> T {
        try await within(patience) { [events] in
            for await event in events {
                if case .registrationFailed = event { Issue.record("\(event)") }
                if let found = wanted(event) { return found }
            }
            throw Timeout()
        }
    }

    func registration(token: String? = nil) async throws -> Registration {
        try await next {
            if case .registered(_, let registration) = $0, token == nil || registration.token == token { registration } else { nil }
        }
    }
}
