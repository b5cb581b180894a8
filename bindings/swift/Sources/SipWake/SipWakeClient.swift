import Foundation
import SipWakeFFI

/// Accounts, bindings and calls. One client is meant to live as long as the process.
///
/// What is asked for is stored and under way when a call returns; what becomes of it comes as an event. A task that is cancelled
/// stops waiting at once and gets `CancellationError`; what it had asked for is done all the same.
public final class SipWakeClient: Sendable {
    private let ffi: SipWakeFFI.SipWakeClient

    /// Makes a client that knows these accounts. Log-outs that an earlier process could not deliver go out at once.
    ///
    /// Hand over the accounts of the logged-in users here: a push that comes right after is then judged with them. A client
    /// without accounts makes no sound for any push. Nothing is registered before ``register(_:)``.
    ///
    /// Reads the store from another thread, and waits for it.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` for an account or option that cannot be used.
    public init(store: any StateStore, accounts: [AccountSetup] = [], options: ClientOptions = ClientOptions()) throws {
        ffi = try translating {
            try SipWakeFFI.SipWakeClient(
                store: ForeignStore(store), accounts: accounts, listener: nil, options: options.foreign,
                serverTrust: options.serverTrust.map(ForeignTrust.init), decryptor: options.decryptor.map(ForeignDecryptor.init),
                trace: options.trace.map(ForeignTrace.init))
        }
    }

    deinit {
        try? ffi.shutdown()
    }

    /// Returns a stream of events: the first one with all that happened since the client was made, later ones from now on.
    ///
    /// It ends with the client, or when the task that reads it is cancelled.
    public func events() -> AsyncStream<SipWakeEvent> {
        guard let stream = try? ffi.events() else { return AsyncStream { $0.finish() } }
        // Pulled, so that a slow reader fills Rust's bounded queue and no other.
        return AsyncStream {
            (try? await stream.nextEvent()).map(SipWakeEvent.init)
        } onCancel: {
            try? stream.cancel()
        }
    }

    /// Adds an account, or changes the settings of the one with the same AOR and registrar. What was stored of it by an
    /// earlier process lives on. Nothing is sent before ``register(_:)``.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``, which names the field and the rule.
    @discardableResult
    public func addAccount(_ setup: AccountSetup) async throws -> AccountID {
        AccountID(rawValue: try await waiting { [ffi] in try await ffi.addAccount(setup: setup) })
    }

    /// Registers now, also after a refusal. Call it at every start of the app. The outcome comes as an event.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    public func register(_ account: AccountID) async throws {
        try await waiting { [ffi] in try await ffi.register(account: account.rawValue) }
    }

    /// Hands over the push tokens: PushKit's for calls, and the one for alerts. A nil or empty token is ignored; the same
    /// token costs no traffic.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` for a token of the wrong shape, ``SipWakeError/noPush(reason:)``,
    ///   ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func setToken(_ token: String?, alert: String? = nil, for account: AccountID) async throws -> TokenOutcome {
        try await waiting { [ffi] in try await ffi.setToken(account: account.rawValue, token: token, alert: alert) }
    }

    /// Removes the push binding and stays registered. Stored before this returns; from here on no push makes a sound.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    public func unbindPush(_ account: AccountID) async throws {
        try await waiting { [ffi] in try await ffi.unbindPush(account: account.rawValue) }
    }

    /// Logs the user out: the wish is stored before this returns, and delivered until the server confirms it
    /// (``SipWakeEvent/loggedOut(account:aor:)``), by later processes if need be. From here on no push makes a sound.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    public func logOut(_ account: AccountID) async throws {
        try await waiting { [ffi] in try await ffi.logOut(account: account.rawValue) }
    }

    /// Asks which push providers the server supports, or whether it supports one (RFC 8599 section 4.1.3). Answered by
    /// ``SipWakeEvent/capabilities(account:status:providers:)``.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    public func queryPush(_ account: AccountID, provider: String? = nil) async throws {
        try await waiting { [ffi] in try await ffi.queryPush(account: account.rawValue, provider: provider) }
    }

    /// Says what a push means for the operating system, at once, and wakes the account behind it.
    ///
    /// Waits for no network, no lock and no task, and never throws: whatever the payload, there is an action; for a PushKit push
    /// it is one that can be shown to CallKit. A push for a logged-out user, or of a call that is over, makes no sound.
    public func push(_ payload: [AnyHashable: Any], channel: Channel, hints: PushHints = PushHints()) -> PushAction {
        push(json: json(payload), channel: channel, hints: hints)
    }

    /// As the other `push`, for a payload that is JSON text.
    public func push(json: Data, channel: Channel, hints: PushHints = PushHints()) -> PushAction {
        let action = try? ffi.push(payload: .json(bytes: json), channel: channel, hints: hints)
        return action.map(PushAction.init) ?? readPush(json: json, channel: channel, hints: hints)
    }

    /// Takes the user's wish to answer, at any moment from the push on. Once the INVITE is here, the change `answerWanted`
    /// brings its offer, for ``accept(_:with:)``.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)`` for a call that is not known, over, or accepted already.
    public func answer(_ call: UUID) async throws {
        try await waiting { [ffi] in try await ffi.answer(call: call.uuidString) }
    }

    /// Says that the app rings, where ``CallPolicy`` holds back the 180 until then (`sessionProgress`).
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
        try await waiting { [ffi] in try await ffi.accept(call: call.uuidString, answer: session) }
    }

    /// Declines a call that rings or was announced.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``.
    public func decline(_ call: UUID, _ how: DeclineHow = .everywhere) async throws {
        try await waiting { [ffi] in try await ffi.decline(call: call.uuidString, how: how) }
    }

    /// Ends a call, whatever its state: announced, ringing or answered.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)`` for a call that is not known or over.
    public func hangUp(_ call: UUID, _ why: HangUp = .normal) async throws {
        try await waiting { [ffi] in try await ffi.hangUp(call: call.uuidString, why: why) }
    }

    /// Responds to the change `offered` with our description; refuses with nil, and the call goes on as it was.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)`` if no offer waits for a response.
    public func respond(toOfferOf call: UUID, with session: SessionDescription?) async throws {
        try await waiting { [ffi] in try await ffi.respondOffer(call: call.uuidString, answer: session) }
    }

    /// Sets how calls are treated from here on.
    public func setCallPolicy(_ policy: CallPolicy) async throws {
        try await waiting { [ffi] in try await ffi.setCallPolicy(policy: policy) }
    }

    /// Says that the device's network changed: flows are opened anew, the bindings follow.
    public func networkChanged() async throws {
        try await waiting { [ffi] in try await ffi.networkChanged() }
    }

    /// Ends the client at once: who waits gets ``SipWakeError/shutDown(reason:)``, streams end, sockets close. Bindings stay on
    /// their servers.
    public func shutdown() {
        try? ffi.shutdown()
    }
}
