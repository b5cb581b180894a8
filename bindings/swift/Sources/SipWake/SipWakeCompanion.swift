import Foundation
import SipWakeFFI

/// Does the push part of a ``SipWakeClient`` beside another SIP stack, which registers and takes the calls. It says what each REGISTER
/// must say, what a response means and which push belongs to which INVITE, and it makes sure that a log-out is delivered. It opens no
/// socket. `docs/beside.md` says which promises depend on the stack, and what the stack must not do.
///
/// ```swift
/// let companion = try SipWakeCompanion(store: store, stack: stack, accounts: [setup])
/// try companion.setToken(token, for: alice)
/// let register = try companion.registerTags(alice)                       // into the stack's next REGISTER
/// let answer = try companion.heard(RegisterResponse(status: 200, headers: headers, register: register.number), from: alice)
/// if answer.next == .again { … }                                         // take the tags, and register at once
/// ```
///
/// Nothing here waits for a network. Everything that must be stored is stored on the caller's thread before a call returns. Do not call
/// it from inside the store. A store has one client or companion at a time.
public final class SipWakeCompanion: PushClient {
    private let ffi: SipWakeFFI.SipWakeCompanion
    private let hub = EventHub()
    private let backgroundTime: (any BackgroundTime)?

    /// Makes a companion that knows these accounts. Name the stack's own transport in them: if others can read it, it gets no `X-PIID`.
    ///
    /// - Parameters:
    ///   - store: the place for records. Use the client's own store, so that an app can change from one to the other.
    ///   - stack: the app's SIP stack. The companion calls it from here on, first for log-outs that an earlier process could not deliver.
    ///     The companion does not keep it in memory, so the app must.
    ///   - accounts: the accounts of the logged-in users.
    ///   - backgroundTime: keeps the process running while a push or a log-out is under way.
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` for an account that cannot be used.
    public init(
        store: any StateStore, stack: any CompanionStack, accounts: [AccountSetup] = [], backgroundTime: (any BackgroundTime)? = nil
    ) throws {
        ffi = try translating { try SipWakeFFI.SipWakeCompanion(store: ForeignStore(store), accounts: accounts.map(\.foreign)) }
        self.backgroundTime = backgroundTime
        try translating { try ffi.listen(listener: ForeignStack(self, stack, hub)) }
    }

    deinit {
        shutdown()
    }

    /// Returns a stream of events for one reader: see ``SipWakeClient/events(replaying:)``.
    public func events(replaying count: Int = .max) -> AsyncStream<SipWakeEvent> {
        hub.stream(hub.reader(replaying: count).0)
    }

    /// The calls that are not over, each with its last change and with the caller as known now.
    public var calls: [CallUpdate] { hub.calls }

    public func follow() -> (calls: [CallUpdate], events: AsyncStream<SipWakeEvent>) { hub.follow() }

    public func note(_ failure: Failure) {
        hub.publish(.failed(failure))
    }

    /// Adds an account, or changes the settings of the one with the same AOR and registrar.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``. It names the field and the rule.
    @discardableResult
    public func addAccount(_ setup: AccountSetup) throws -> AccountID {
        AccountID(rawValue: try translating { try ffi.addAccount(setup: setup.foreign) })
    }

    /// Tells the companion the other stack's own Contact URI. Call it at each change. If the stack does not show the URI, the registrar's
    /// list does.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``, ``SipWakeError/noSuchAccount(reason:)``.
    public func stands(at contact: String, for account: AccountID) throws {
        try translating { try ffi.standsAt(account: account.rawValue, contact: contact) }
    }

    /// Hands over the push tokens: PushKit's for calls, and the one for alerts. A nil or empty token is ignored.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` for a token of the wrong shape, ``SipWakeError/noPush(reason:)``,
    ///   ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func setToken(_ token: String?, alert: String? = nil, for account: AccountID) throws -> TokenOutcome {
        TokenOutcome(try translating { try ffi.setToken(account: account.rawValue, token: token, alert: alert) })
    }

    /// Removes the push binding and keeps the account registered. From then on no push makes a sound.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func unbindPush(_ account: AccountID) throws -> Kept {
        Kept(try translating { try ffi.unbindPush(account: account.rawValue) })
    }

    /// Switches do not disturb on until a time, or off with nil or a time in the past. `Date.distantFuture` means until further notice.
    /// See ``SipWakeClient/setDoNotDisturb(_:until:)``. The stack is asked to register without push, and with push when the time is over.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func setDoNotDisturb(_ account: AccountID, until: Date?) throws -> Kept {
        let until = until.map(milliseconds)
        return Kept(try translating { try ffi.setDoNotDisturb(account: account.rawValue, untilMs: until) })
    }

    /// Returns until when an account's user does not want to be disturbed. `Date.distantFuture` means until further notice, nil means not
    /// at all.
    public func doNotDisturb(_ account: AccountID) -> Date? {
        let until = try? ffi.doNotDisturb(account: account.rawValue)
        return until.map { min(Date(timeIntervalSince1970: Double($0) / 1000), .distantFuture) }
    }

    /// Logs the user out. The log-out is stored before this returns, or it returns ``Kept/notYetDurable``. ``pending()`` names it, in
    /// later processes too, until a response that the companion takes ends it (``SipWakeEvent/loggedOut(account:_:)``). From here on no
    /// push makes a sound.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func logOut(_ account: AccountID) throws -> Kept {
        hub.hold(backgroundTime, "sipwake log-out") { if case .loggedOut(account, _) = $0 { true } else { false } }
        return Kept(try translating { try ffi.logOut(account: account.rawValue) })
    }

    /// Returns the log-outs that are not over.
    public func pending() throws -> [PendingLogOut] {
        try translating { try ffi.pending() }.map(PendingLogOut.init)
    }

    /// Accepts another realm for `X-PIID` than the pinned one. Call it after a ``SipWakeEvent/warning(account:_:)``.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``, ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func acceptRealm(_ realm: String, for account: AccountID) throws -> Kept {
        Kept(try translating { try ffi.acceptRealm(account: account.rawValue, realm: realm) })
    }

    /// Says that the server may hold a binding that no record knows, for example after an update from an app without sipwake. Then a
    /// log-out is sent even if nothing was registered.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    public func assumeBound(_ account: AccountID) throws {
        try translating { try ffi.assumeBound(account: account.rawValue) }
    }

    /// Returns what the stack's next REGISTER must say. It stays the same until a response comes or the app gives another command. Call
    /// it before each REGISTER. Everything that the REGISTER depends on is stored.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``, or ``SipWakeError/noSuchRegister(reason:)`` if only left gateways still hold
    ///   something.
    public func registerTags(_ account: AccountID) throws -> CompanionRegister {
        CompanionRegister(try translating { try ffi.registerTags(account: account.rawValue) })
    }

    /// Makes the stack register now. If the stack was asked already and its response is still to come, nothing happens.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    public func register(_ account: AccountID) throws {
        try translating { try ffi.register(account: account.rawValue) }
    }

    /// Returns the REGISTERs that remove bindings at left gateways, for a stack that can reach these.
    public func registersElsewhere() throws -> [CompanionRegister] {
        try translating { try ffi.registersElsewhere() }.map(CompanionRegister.init)
    }

    /// Tells the companion the Call-ID and CSeq of a REGISTER that the stack has sent, if the stack shows them. They identify its
    /// response.
    ///
    /// - Throws: ``SipWakeError/noSuchRegister(reason:)`` for a number that was never given, or has its response already.
    public func sent(_ register: UInt64, callID: String, cseq: UInt32, for account: AccountID) throws {
        try translating { try ffi.sent(account: account.rawValue, number: register, callId: callID, cseq: cseq) }
    }

    /// Takes a response to a REGISTER of the stack, and returns what it means.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` if it is not a response (`status`, `headers`),
    ///   ``SipWakeError/noSuchRegister(reason:)`` if no tags were taken, ``SipWakeError/noSuchAccount(reason:)``. Then nothing has
    ///   changed.
    @discardableResult
    public func heard(_ response: RegisterResponse, from account: AccountID) throws -> CompanionAnswer {
        CompanionAnswer(try translating { try ffi.heard(account: account.rawValue, response: response.foreign) })
    }

    /// The same for a whole response as it came over the wire.
    @discardableResult
    public func heard(message: Data, register: UInt64? = nil, from account: AccountID) throws -> CompanionAnswer {
        CompanionAnswer(try translating { try ffi.heardMessage(account: account.rawValue, register: register, response: message) })
    }

    /// Says at once what a push means for the operating system, and makes the stack register. Any payload gives an action, and CallKit
    /// can show the action of any PushKit push. After ``shutdown()`` a push is only read.
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

    /// Says whether an INVITE that came to the stack for this account rings, and under which UUID. Call it before the phone rings.
    ///
    /// - Parameter headers: all of its header fields, or at least `From`, `Call-ID` and, if it has them, `P-Asserted-Identity`,
    ///   `X-Push-ID` and similar ones.
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` (`headers`), ``SipWakeError/noSuchAccount(reason:)``.
    public func invited(_ headers: [NamedValue], for account: AccountID) throws -> CompanionInvite {
        CompanionInvite(try translating { try ffi.invited(account: account.rawValue, headers: headers.map(\.foreign)) })
    }

    /// The user wants to answer. This works at any time after the push. If the INVITE is here, the stack is asked to accept it. Otherwise
    /// ``invited(_:for:)`` says so when it comes.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for a call that is over or answered.
    public func answer(_ call: UUID) throws {
        try translating { try ffi.answer(call: call.uuidString) }
    }

    /// The stack has accepted an INVITE of this call. The change `connected` follows.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for one that is over, answered, or whose INVITE is not here.
    public func answered(_ call: UUID) throws {
        try translating { try ffi.answered(call: call.uuidString) }
    }

    /// The user declines a call that rings or was announced. The stack is asked to refuse it, and an INVITE that comes later gets the
    /// same status.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for a call that is over or answered.
    public func decline(_ call: UUID, _ how: DeclineHow = .everywhere) throws {
        try translating { try ffi.decline(call: call.uuidString, how: how.foreign) }
    }

    /// The user ends a call in any state. If it was answered, the stack is asked to hang up, otherwise to refuse it.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for a call that is over.
    public func hangUp(_ call: UUID, _ why: HangUp = .normal) throws {
        try translating { try ffi.hangUp(call: call.uuidString, why: why.foreign) }
    }

    /// A CANCEL came to the stack, which responds to its INVITE with 487. Returns how the call ended, or nil while another INVITE of it
    /// rings.
    ///
    /// - Parameter headers: the CANCEL's header fields. `Reason` tells whether the call was answered elsewhere (RFC 3326).
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for a call that is over or answered.
    @discardableResult
    public func cancelled(_ call: UUID, headers: [NamedValue] = []) throws -> EndReason? {
        try translating { try ffi.cancelled(call: call.uuidString, headers: headers.map(\.foreign)) }.map(EndReason.init)
    }

    /// Another device of the user has answered, and the server said so in another way than by a CANCEL.
    ///
    /// - Throws: as ``ended(_:_:status:)``.
    public func answeredElsewhere(_ call: UUID) throws {
        try translating { try ffi.answeredElsewhere(call: call.uuidString) }
    }

    /// The call is over at the stack. From here on no late push or INVITE of it makes a sound.
    ///
    /// - Parameter status: the SIP status that says why, for `failed` only.
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for a call that is over. Report an end only once.
    public func ended(_ call: UUID, _ how: EndReason, status: UInt16? = nil) throws {
        try translating { try ffi.ended(call: call.uuidString, how: how.foreign, status: status) }
    }

    /// Sets how long the companion waits for an announced call. The stack itself decides about answers.
    public func setCallPolicy(_ policy: CallPolicy) throws {
        try translating { try ffi.setCallPolicy(policy: policy.foreign) }
    }

    /// Returns the public part of this phone's key for sealed pushes. See ``SipWakeClient/pushKey()``.
    ///
    /// - Throws: ``SipWakeError/store(reason:)`` while the store is shut or fails.
    public func pushKey() throws -> PushKey {
        PushKey(try translating { try ffi.pushKey() })
    }

    /// Makes a new key pair for sealed pushes and returns its public part. The former one still opens pushes for 30 days.
    ///
    /// - Throws: as ``pushKey()``.
    public func rotatePushKey() throws -> PushKey {
        PushKey(try translating { try ffi.rotatePushKey() })
    }

    /// Imports a key for sealed pushes from a server. See ``SipWakeClient/importPushKey(_:id:)``.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``, or as ``pushKey()``.
    public func importPushKey(_ key: String, id: String) throws {
        try translating { try ffi.importPushKey(id: id, key: key) }
    }

    /// Forgets an imported key. Returns whether there was one.
    ///
    /// - Throws: as ``pushKey()``.
    @discardableResult
    public func forgetPushKey(id: String) throws -> Bool {
        try translating { try ffi.forgetPushKey(id: id) }
    }

    /// Says that the device's network changed. The stack is asked to register again.
    public func networkChanged() throws {
        try translating { try ffi.networkChanged() }
    }

    /// Says that the user unlocked the phone for the first time, so that the store can be read and written again.
    public func storeAvailable() throws {
        try translating { try ffi.storeAvailable() }
    }

    /// Returns why the phone rang, or did not, as JSON. See ``SipWakeClient/report(_:)``.
    public func report(_ phone: PhoneState? = nil) throws -> String {
        try translating { try ffi.report(phone: phone?.ffi) }
    }

    /// Ends the companion at once. Streams end, and the stack is no longer called. Bindings stay on their servers.
    public func shutdown() {
        try? ffi.shutdown()
        hub.finish()
    }
}

/// It keeps neither the companion nor its stack in memory.
private final class ForeignStack: CompanionListener, @unchecked Sendable {
    private weak var companion: SipWakeCompanion?
    private weak var stack: (any CompanionStack)?
    private let hub: EventHub

    init(_ companion: SipWakeCompanion, _ stack: any CompanionStack, _ hub: EventHub) {
        self.companion = companion
        self.stack = stack
        self.hub = hub
    }

    func onTold(told: CompanionTold) {
        if case .event(let event) = told { return hub.publish(SipWakeEvent(event)) }
        guard let companion, let stack else { return }
        do { try Self.tell(stack, told, companion) } catch {
            hub.publish(.failed(Failure(domain: "CompanionStack", doing: "what the companion asks for", error)))
        }
    }

    private static func tell(_ stack: any CompanionStack, _ told: CompanionTold, _ companion: SipWakeCompanion) throws {
        switch told {
        case .event: break
        case .register(let account): try stack.register(AccountID(rawValue: account), for: companion)
        case .accept(let call): try stack.accept(known(call), for: companion)
        case .refuse(let call, let status): try stack.refuse(known(call), with: status, for: companion)
        case .hangUp(let call): try stack.hangUp(known(call), for: companion)
        }
    }
}
