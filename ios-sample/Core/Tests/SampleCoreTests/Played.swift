import Foundation
import SampleCore
import SipWake
import SipWakeTesting
import Testing

let token = String(repeating: "a1", count: 32)
let iPhone = AppIdentity(bundle: "com.example.sample", team: "ABCDE12345", environment: .sandbox)

func alice(_ gateway: MockGateway? = nil) -> AccountSettings {
    var settings = AccountSettings()
    settings.aor = " sip:alice@mock.example "
    settings.password = "wonderland"
    settings.gateway = gateway?.address ?? ""
    return settings
}

/// A fake Keychain. It outlives the app and can be locked.
final class Keychain: StateStore, @unchecked Sendable {
    // Guards both fields.
    private let lock = NSLock()
    private var records: [String: Data] = [:]
    private var locked = false

    func setLocked(_ locked: Bool) { lock.withLock { self.locked = locked } }
    func load(key: String) throws -> Data? { try open { $0[key] } }
    func save(key: String, bytes: Data) throws { try open { $0[key] = bytes } }
    func remove(key: String) throws { try open { $0[key] = nil } }
    var text: String { lock.withLock { records.values.map { String(decoding: $0, as: UTF8.self) }.joined() } }

    private func open<T>(_ work: (inout [String: Data]) -> T) throws -> T {
        try lock.withLock {
            if locked { throw StoreShut(reason: "the phone was not unlocked yet") }
            return work(&records)
        }
    }
}

/// Fakes of PushKit and CallKit around the SDK's own rules for calls.
@MainActor
final class Phone: PhoneSystem, CallScreen {
    private(set) var rings: [UUID] = []
    private(set) var ends: [UUID: EndReason] = [:]
    private(set) var taps: [Tap] = []
    private(set) var accounts: [AccountID] = []
    private let client: SipWakeClient
    private var desk: CallDesk?

    init(_ model: AppModel) {
        client = model.client
        accounts = model.accounts
        desk = CallDesk(client, screen: self, media: model.media)
    }

    func giveTokens(to accounts: [AccountID]) {
        self.accounts = accounts
        Task { for account in accounts { try await client.setToken(token, for: account) } }
    }

    func answer(_ call: UUID) { desk?.userAnswers(call, tap()) }
    func end(_ call: UUID) { desk?.userEnds(call, tap()) }

    /// A VoIP push comes. Returns whether a call was reported before the delegate returned.
    func push(_ payload: [AnyHashable: Any]) -> PushAction {
        let action = client.push(payload, channel: .pushKit)
        desk?.report(action) {}
        return action
    }

    func show(_ call: ShownCall, done: @escaping @MainActor (ShowOutcome) -> Void) {
        let known = rings.contains(call.uuid)
        if !known { rings.append(call.uuid) }
        done(known ? .known : .new)
    }

    func update(_ call: ShownCall) {}
    func end(_ call: UUID, _ reason: EndReason) { ends[call] = reason }

    private func tap() -> Tap {
        taps.append(Tap())
        return taps[taps.count - 1]
    }
}

/// A fake `CXAction`.
@MainActor
final class Tap: CallScreenAction {
    private(set) var outcome: String?

    func fulfill() { outcome = (outcome ?? "") + "fulfilled" }
    func fail() { outcome = (outcome ?? "") + "failed" }
}

/// One run of the app.
@MainActor
struct Run {
    let model: AppModel
    let phone: Phone

    init(_ store: Keychain, firstRun: FirstRun? = nil) async throws {
        model = try AppModel(store: store, app: iPhone, firstRun: firstRun)
        phone = Phone(model)
        await model.start(phone)
    }

    func until(_ what: String, _ holds: (SampleState) -> Bool) async throws {
        for _ in 0..<12_000 {
            if holds(model.state) { return }
            try await Task.sleep(nanoseconds: 10_000_000)
        }
        Issue.record("\(what): \(model.state)")
        throw Never(what: what)
    }

    struct Never: Error { let what: String }
}

extension SampleState {
    var isConnected: Bool { if case .connected = call?.phase { true } else { false } }
    /// Whether the server knows where to push to.
    var isBound: Bool { if case .registered(let registration) = binding { registration.token == token } else { false } }
    var hasLeft: Bool { if case .left = binding { true } else { false } }
}
