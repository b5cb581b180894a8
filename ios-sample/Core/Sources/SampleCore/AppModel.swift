import Foundation
import SipWake

/// What the phone does for the app: PushKit and CallKit on an iPhone.
@MainActor
public protocol PhoneSystem: AnyObject {
    /// Gives these accounts the push tokens, now and whenever they change.
    func giveTokens(to accounts: [AccountID])
    /// Has the user's "answer" carried out.
    func answer(_ call: UUID)
    /// Has the user's "decline" or "hang up" carried out.
    func end(_ call: UUID)
    /// What the phone says of itself, for a report.
    func state() async -> PhoneState
}

extension PhoneSystem {
    public func state() async -> PhoneState { PhoneState() }
}

/// The app without its screens: its input is what the user does, its output is what the screens show.
///
/// Make it when the app starts, before PushKit's delegate can run: its client has its account from the first moment on.
@MainActor
public final class AppModel {
    public let client: SipWakeClient
    public let media = InactiveMedia()
    /// Told of every change of ``state``.
    public var changed: ((SampleState) -> Void)?
    public private(set) var state = SampleState() {
        didSet { if state != oldValue { changed?(state) } }
    }

    /// How long the switch keeps the phone quiet, in seconds.
    static let quiet: TimeInterval = 3600

    private let store: any StateStore
    private let app: AppIdentity
    private let firstRun: FirstRun?
    private let trace = TraceRing()
    private var record = AccountRecord()
    private weak var phone: (any PhoneSystem)?

    /// Reads who is logged in, and makes the client with that account.
    ///
    /// - Parameters:
    ///   - store: for the client and for the settings. If it cannot be read yet, call ``unlocked()`` when it can.
    ///   - firstRun: the marker of this installation; nil: there is none. The Keychain outlives the app: who was logged in when it
    ///     was deleted is logged out.
    ///   - backgroundTime: keeps the process running while a push or a log-out is under way.
    public init(
        store: any StateStore, app: AppIdentity, opening decryptor: (any PayloadDecryptor)? = nil, firstRun: FirstRun? = nil,
        backgroundTime: (any BackgroundTime)? = nil
    ) throws {
        self.store = store
        self.app = app
        self.firstRun = firstRun
        var started = SampleState()
        do {
            record = try AccountRecord.load(from: store)
            if let firstRun { try record.takeOver(firstRun, store) }
        } catch {
            started.storeProblem = error.localizedDescription
        }
        let options = ClientOptions(decryptor: decryptor, trace: { [trace] in trace.add($0) }, backgroundTime: backgroundTime)
        let setup = record.current?.setup(app)
        var known: SipWakeClient?
        do {
            known = try setup.map { try SipWakeClient(store: store, accounts: [$0], options: options) }
            started.account = try setup?.account.id()
        } catch SipWakeError.invalidField(let name, let reason) {
            // The settings of an older version. The app still needs a client: a push may be on its way.
            started.notice("The settings cannot be used: \(name): \(reason)")
        }
        client = try known ?? SipWakeClient(store: store, options: options)
        started.settings = record.current
        started.quietUntil = started.account.flatMap(client.doNotDisturb)
        state = started
        let events = client.events()
        Task { [weak self] in
            for await event in events { self?.state.apply(event) }
        }
    }

    /// The accounts that push tokens are for.
    public var accounts: [AccountID] { state.account.map { [$0] } ?? [] }

    /// Registers, and makes up for a log-out that an earlier process did not get to.
    public func start(_ phone: any PhoneSystem) async {
        self.phone = phone
        await leave()
        await register()
    }

    /// Takes up what could not be read before the phone was unlocked.
    public func unlocked() async {
        do { try await client.storeAvailable() } catch { state.notice(error.localizedDescription) }
        guard state.storeProblem != nil else { return }
        do {
            record = try AccountRecord.load(from: store)
            if let firstRun { try record.takeOver(firstRun, store) }
            state.storeProblem = nil
            if let settings = record.current { try await use(settings) }
        } catch {
            state.storeProblem = error.localizedDescription
        }
        await leave()
    }

    /// Logs in with these settings, or changes them.
    ///
    /// - Returns: why they cannot be used; then nothing of them is kept.
    public func save(_ settings: AccountSettings) async -> SettingsProblem? {
        let settings = settings.tidy
        do {
            _ = try settings.key()
            let id = try await client.addAccount(settings.setup(app))
            var record = record
            if let before = record.current { record.leaving.append(before) }
            record.leaving.removeAll { (try? $0.setup(app).account.id()) == id }
            record.current = settings
            try record.save(in: store)
            self.record = record
            await leave()
            try await use(settings)
            return nil
        } catch {
            return SettingsProblem(error)
        }
    }

    /// Logs out. From here on no push rings, and the server is told until it confirms.
    public func logOut() async {
        guard let settings = record.current else { return }
        record.current = nil
        record.leaving.append(settings)
        keep()
        state.account = nil
        state.settings = nil
        state.quietUntil = nil
        state.binding = .leaving
        phone?.giveTokens(to: [])
        await leave()
    }

    /// The switch: not to be disturbed for an hour, or to be disturbed again.
    public func doNotDisturb(_ on: Bool) async {
        guard let account = state.account else { return }
        do {
            try await client.setDoNotDisturb(account, until: on ? Date(timeIntervalSinceNow: Self.quiet) : nil)
        } catch {
            state.notice(error.localizedDescription)
        }
        state.quietUntil = client.doNotDisturb(account)
    }

    /// Registers now, for example after a failure.
    public func register() async {
        guard let account = state.account else { return }
        state.binding = .registering
        do { try await client.register(account) } catch { state.notice(error.localizedDescription) }
    }

    /// The user taps *answer* on the call screen.
    public func answer() {
        guard let call = state.call, call.answerable else { return }
        state.answering(call.id)
        phone?.answer(call.id)
    }

    /// The user taps *decline* or *hang up*.
    public func end() {
        guard let call = state.call else { return }
        phone?.end(call.id)
    }

    /// The system would not carry out what the user did.
    public func refused(_ call: UUID, _ reason: String) {
        state.refused(call)
        state.notice(reason)
    }

    /// CallKit gave or took the audio session. A media engine would start and stop here.
    public func audioSession(active: Bool) {
        state.audio = active
    }

    /// Returns the trace as text, for a bug report.
    public func exportTrace() -> String {
        let who = state.settings.map { ", \($0.aor)" } ?? ""
        return trace.export(heading: "sipwake sample\(who): \(state.headline) \(state.details); \(state.verdictWords)")
    }

    /// Returns why the phone rang, or did not: nobody's name, number, token or address is in it, so that it can be sent unread.
    public func report() async -> String {
        do { return try await client.report(await phone?.state()) } catch {
            state.notice(error.localizedDescription)
            return ""
        }
    }

    private func use(_ settings: AccountSettings) async throws {
        let id = try await client.addAccount(settings.setup(app))
        state.settings = settings
        state.account = id
        state.quietUntil = client.doNotDisturb(id)
        phone?.giveTokens(to: [id])
        await register()
    }

    /// Hands log-outs to the SDK, which stores and delivers them. Only then are they forgotten here.
    private func leave() async {
        for settings in record.leaving {
            do {
                let id = try await client.addAccount(settings.setup(app))
                try await client.logOut(id)
            } catch SipWakeError.invalidField {
                // It was never registered.
            } catch {
                state.notice("Logging out failed: \(error.localizedDescription)")
                continue
            }
            record.leaving.removeAll { $0 == settings }
            keep()
        }
    }

    private func keep() {
        do { try record.save(in: store) } catch { state.notice("The settings were not kept: \(error.localizedDescription)") }
    }
}
