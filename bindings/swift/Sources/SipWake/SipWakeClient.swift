import Foundation
import SipWakeFFI

/// Accounts, bindings and calls. Keep one client as long as the process lives.
///
/// When a call returns, the command is stored and under way. The outcome comes as an event. A cancelled task stops waiting at once and
/// gets `CancellationError`, but sipwake still carries out its command.
public final class SipWakeClient: PushClient {
    private let ffi: SipWakeFFI.SipWakeClient
    private let hub = EventHub()
    private let backgroundTime: (any BackgroundTime)?

    /// Makes a client that knows these accounts. Log-outs that an earlier process could not deliver go out at once.
    ///
    /// Give the accounts of the logged-in users here. Then the client knows them when it judges a push that comes right after. A client
    /// without accounts is silent for every push. Nothing is registered before ``register(_:)``.
    ///
    /// It reads the store on another thread, and waits for it. With a Keychain that takes a few milliseconds.
    /// ``open(store:accounts:options:)`` does the same without blocking the caller's thread. Use it only if no push can come in between.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` for an account or option that cannot be used.
    public init(store: any StateStore, accounts: [AccountSetup] = [], options: ClientOptions = ClientOptions()) throws {
        ffi = try translating {
            try SipWakeFFI.SipWakeClient(
                store: ForeignStore(store), accounts: accounts.map(\.foreign), listener: nil, options: options.foreign,
                serverTrust: options.serverTrust.map(ForeignTrust.init), decryptor: options.decryptor.map(ForeignDecryptor.init),
                trace: options.trace.map(ForeignTrace.init), resolver: options.foreignResolver)
        }
        backgroundTime = options.backgroundTime
        let stream = try translating { try ffi.events() }
        Task.detached(priority: .userInitiated) { [hub] in
            while let event = try? await stream.nextEvent() { hub.publish(SipWakeEvent(event)) }
            hub.finish()
        }
    }

    /// Makes a client as ``init(store:accounts:options:)`` does, on another thread.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``.
    public static func open(
        store: any StateStore, accounts: [AccountSetup] = [], options: ClientOptions = ClientOptions()
    ) async throws -> SipWakeClient {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global(qos: .userInitiated).async {
                continuation.resume(with: Result { try SipWakeClient(store: store, accounts: accounts, options: options) })
            }
        }
    }

    deinit {
        try? ffi.shutdown()
    }

    /// Returns a stream of events for one reader: up to 256 events from before, then all that follow. If a reader falls behind by more,
    /// it gets ``SipWakeEvent/eventsLost(count:)``.
    ///
    /// It ends with the client, or when the task that reads it is cancelled.
    ///
    /// - Parameter count: how many past events at most.
    public func events(replaying count: Int = .max) -> AsyncStream<SipWakeEvent> {
        hub.stream(hub.reader(replaying: count).0)
    }

    /// The calls that are not over, each with its last change and with the caller as known now.
    public var calls: [CallUpdate] { hub.calls }

    public func follow() -> (calls: [CallUpdate], events: AsyncStream<SipWakeEvent>) { hub.follow() }

    /// Tells every reader about a failure that no caller waits for, as ``SipWakeEvent/failed(_:)``. It is for code between the system's
    /// frameworks and this client.
    public func note(_ failure: Failure) {
        hub.publish(.failed(failure))
    }

    /// Adds an account, or changes the settings of the one with the same AOR and registrar. The account continues with what an earlier
    /// process stored. Nothing is sent before ``register(_:)``.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``. It names the field and the rule.
    @discardableResult
    public func addAccount(_ setup: AccountSetup) async throws -> AccountID {
        AccountID(rawValue: try await waiting { [ffi] in try await ffi.addAccount(setup: setup.foreign) })
    }

    /// Registers now, even after a refusal. Call it at every start of the app. The outcome comes as an event.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    public func register(_ account: AccountID) async throws {
        try await waiting { [ffi] in try await ffi.register(account: account.rawValue) }
    }

    /// Sets the push tokens: PushKit's for calls, and the one for alerts. A nil or empty token is ignored. The same token again costs no
    /// traffic.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` for a token of the wrong shape, ``SipWakeError/noPush(reason:)``,
    ///   ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func setToken(_ token: String?, alert: String? = nil, for account: AccountID) async throws -> TokenOutcome {
        let outcome = try await waiting { [ffi] in
            try await ffi.setToken(account: account.rawValue, token: token, alert: alert)
        }
        return TokenOutcome(outcome)
    }

    /// Removes the push binding and keeps the account registered. The command is stored before this returns, or it returns
    /// ``Kept/notYetDurable``. From then on no push makes a sound.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func unbindPush(_ account: AccountID) async throws -> Kept {
        Kept(try await waiting { [ffi] in try await ffi.unbindPush(account: account.rawValue) })
    }

    /// Switches do not disturb on until a time, or off with nil or a time in the past. `Date.distantFuture` means until further notice.
    /// The command is stored before this returns, or it returns ``Kept/notYetDurable``.
    ///
    /// Meanwhile the account stays registered without a push binding, and no push makes a sound. If a VoIP push still comes, it is
    /// reported without a name and ended. When the time is over, the binding comes back (``SipWakeEvent/doNotDisturbOver(account:)``). If
    /// the app does not run at that moment, this happens at its next start, because no push can start it. A running client still reports
    /// a call whose INVITE arrives.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func setDoNotDisturb(_ account: AccountID, until: Date?) async throws -> Kept {
        let until = until.map(milliseconds)
        return Kept(try await waiting { [ffi] in try await ffi.setDoNotDisturb(account: account.rawValue, untilMs: until) })
    }

    /// Returns until when an account's user does not want to be disturbed. `Date.distantFuture` means until further notice, nil means not
    /// at all.
    public func doNotDisturb(_ account: AccountID) -> Date? {
        let until = try? ffi.doNotDisturb(account: account.rawValue)
        return until.map { min(Date(timeIntervalSince1970: Double($0) / 1000), .distantFuture) }
    }

    /// Returns the public part of this phone's key for sealed pushes. The first call makes and stores the key. The sender of the pushes
    /// needs both values. Send them over the app's own connection to its server. Anybody else who has them can forge pushes.
    ///
    /// - Throws: ``SipWakeError/store(reason:)`` while the store is shut or fails, because a key that may be lost is of no use.
    public func pushKey() async throws -> PushKey {
        PushKey(try await waiting { [ffi] in try await ffi.pushKey() })
    }

    /// Makes a new key pair for sealed pushes and returns its public part. The former one still opens pushes for 30 days.
    ///
    /// - Throws: as ``pushKey()``.
    public func rotatePushKey() async throws -> PushKey {
        PushKey(try await waiting { [ffi] in try await ffi.rotatePushKey() })
    }

    /// Imports a key for sealed pushes that a server gave over a secure connection: 32 bytes in base64url, with the name that the pushes
    /// use for it. The same name again replaces the key.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``, or as ``pushKey()``.
    public func importPushKey(_ key: String, id: String) async throws {
        try await waiting { [ffi] in try await ffi.importPushKey(id: id, key: key) }
    }

    /// Forgets an imported key. Returns whether there was one.
    ///
    /// - Throws: as ``pushKey()``.
    @discardableResult
    public func forgetPushKey(id: String) async throws -> Bool {
        try await waiting { [ffi] in try await ffi.forgetPushKey(id: id) }
    }

    /// Accepts another realm for `X-PIID` than the pinned one. Call it after a ``SipWakeEvent/warning(account:_:)``.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``, ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func acceptRealm(_ realm: String, for account: AccountID) async throws -> Kept {
        Kept(try await waiting { [ffi] in try await ffi.acceptRealm(account: account.rawValue, realm: realm) })
    }

    /// Logs the user out. The log-out is stored before this returns, or it returns ``Kept/notYetDurable``. The client repeats it until
    /// the server confirms it (``SipWakeEvent/loggedOut(account:_:)``), and later processes continue. From then on no push makes a sound.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func logOut(_ account: AccountID) async throws -> Kept {
        hub.hold(backgroundTime, "sipwake log-out") { if case .loggedOut(account, _) = $0 { true } else { false } }
        return Kept(try await waiting { [ffi] in try await ffi.logOut(account: account.rawValue) })
    }

    /// How many log-outs the servers have not confirmed yet. It counts those of earlier runs of the app, too. Keep the process while
    /// there is one.
    public var pendingLogOuts: Int { Int((try? ffi.pendingLogOuts()) ?? 0) }

    /// Says that the user unlocked the phone for the first time, so that the store can be read and written again. The client tries at
    /// once what it could not read or store. Without this call it tries within a minute. Call it from
    /// `applicationProtectedDataDidBecomeAvailable(_:)`.
    public func storeAvailable() async throws {
        try await waiting { [ffi] in try await ffi.storeAvailable() }
    }

    /// Asks which push providers the server supports, or whether it supports one (RFC 8599 section 4.1.5).
    /// ``SipWakeEvent/capabilities(account:status:providers:)`` brings the response.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    public func queryPush(_ account: AccountID, provider: String? = nil) async throws {
        try await waiting { [ffi] in try await ffi.queryPush(account: account.rawValue, provider: provider) }
    }

    /// Returns why the phone rang or did not, as JSON. The report has the decisions in codes and numbers, and what the app knows about
    /// its `phone`. It has no name, number, token or address, so users can send it without reading it. `sipwake explain` reads it.
    ///
    /// - Throws: ``SipWakeError/shutDown``.
    public func report(_ phone: PhoneState? = nil) async throws -> String {
        try await waiting { [ffi] in try await ffi.report(phone: phone?.ffi) }
    }

    /// Returns the recording since the client was made, as the text of a file for `sipwake replay`, or nil without `recordForReplay` in
    /// its ``ClientOptions``. It has no password, digest, token, `X-PIID`, key or message text, but it has names, numbers and addresses
    /// of callers. Ask the user before you send it. If the cap was reached, the rest is missing, and the file says so.
    ///
    /// - Throws: ``SipWakeError/shutDown(reason:)``.
    public func recording() async throws -> String? {
        try await waiting { [ffi] in try await ffi.recording() }
    }

    /// Says at once what a push means for the operating system, and wakes the push's account.
    ///
    /// It waits for no network, lock or task, and never throws. Any payload gives an action, and CallKit can show the action of any
    /// PushKit push. A push for a user who logged out, or for a call that is over, makes no sound.
    public func push(_ payload: [AnyHashable: Any], channel: Channel, hints: PushHints = PushHints()) -> PushAction {
        push(json: json(payload), channel: channel, hints: hints)
    }

    /// The same for a payload that is JSON text.
    public func push(json: Data, channel: Channel, hints: PushHints = PushHints()) -> PushAction {
        let judged = try? ffi.push(payload: .json(bytes: json), channel: channel.foreign, hints: hints.foreign)
        let action = judged.map(PushAction.init) ?? readPush(json: json, channel: channel, hints: hints)
        hub.hold(backgroundTime, for: action)
        return action
    }

    /// Answers for the user. This works at any time after the push. When the INVITE is here, the change `answerWanted` brings its offer.
    /// Answer the offer with ``accept(_:with:)``.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)`` for a call that is unknown, over or accepted already.
    public func answer(_ call: UUID) async throws {
        try await waiting { [ffi] in try await ffi.answer(call: call.uuidString) }
    }

    /// Says that the app rings. With ``CallPolicy/sessionProgress`` the caller gets 180 only then.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)`` for a call that is not ringing.
    public func ringing(_ call: UUID) async throws {
        try await waiting { [ffi] in try await ffi.ringing(call: call.uuidString) }
    }

    /// Accepts a ringing call with the answer to its offer or, if it had none, with our offer. The change `connected` follows
    /// with the caller's ACK.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)`` for a call that is not ringing, or an empty description.
    public func accept(_ call: UUID, with session: SessionDescription) async throws {
        try await waiting { [ffi] in try await ffi.accept(call: call.uuidString, answer: session.foreign) }
    }

    /// Declines a call that rings or was announced.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``.
    public func decline(_ call: UUID, _ how: DeclineHow = .everywhere) async throws {
        try await waiting { [ffi] in try await ffi.decline(call: call.uuidString, how: how.foreign) }
    }

    /// Ends a call in any state: announced, ringing or answered.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)`` for a call that is unknown or over.
    public func hangUp(_ call: UUID, _ why: HangUp = .normal) async throws {
        try await waiting { [ffi] in try await ffi.hangUp(call: call.uuidString, why: why.foreign) }
    }

    /// Responds to the change `offered` with our description. With nil it refuses, and the call continues as it was.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)`` if no offer waits for a response.
    public func respond(toOfferOf call: UUID, with session: SessionDescription?) async throws {
        try await waiting { [ffi] in try await ffi.respondOffer(call: call.uuidString, answer: session?.foreign) }
    }

    /// Says whether the app responds to INFO (digits, for example) and REFER (a transfer) inside a call, with
    /// ``respond(toRequest:of:with:)``. This is off by default. Then the change `asked` still reports them, an INFO with a body gets 415,
    /// and a REFER gets 405.
    public func takeCallRequests(_ take: Bool) async throws {
        try await waiting { [ffi] in try await ffi.takeCallRequests(take: take) }
    }

    /// Responds to the change `asked`, if it waits for a response, with a SIP status from 200 to 699. Any other status becomes 500.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)`` if no request with that id waits for a response.
    public func respond(toRequest request: UInt64, of call: UUID, with status: UInt16) async throws {
        try await waiting { [ffi] in
            try await ffi.respondRequest(call: call.uuidString, request: request, status: status)
        }
    }

    /// Sets how calls are treated from here on.
    public func setCallPolicy(_ policy: CallPolicy) async throws {
        try await waiting { [ffi] in try await ffi.setCallPolicy(policy: policy.foreign) }
    }

    /// Says that the device's network changed. The client opens its flows again, and the bindings follow.
    public func networkChanged() async throws {
        try await waiting { [ffi] in try await ffi.networkChanged() }
    }

    /// Ends the client at once. Pending calls get ``SipWakeError/shutDown(reason:)``, streams end, and sockets close. Bindings stay on
    /// their servers.
    public func shutdown() {
        try? ffi.shutdown()
    }
}

/// Milliseconds since 1970. A date that is too far ahead means until further notice.
func milliseconds(_ date: Date) -> UInt64 {
    date >= .distantFuture ? .max : UInt64(max(0, date.timeIntervalSince1970 * 1000))
}
