import Foundation
import SipWakeFFI

/// Keeps beside another SIP stack, which registers and takes the calls, what push needs of a ``SipWakeClient``: what each REGISTER must
/// say, what its answer means, which push belongs to which INVITE, and that a log-out is delivered. Opens no socket. `docs/beside.md` says
/// which promise depends on the stack, and what that must not do.
///
/// ```swift
/// let companion = try SipWakeCompanion(store: store, stack: stack, accounts: [setup])
/// try companion.setToken(token, for: alice)
/// let register = try companion.registerTags(alice)                       // into the stack's next REGISTER
/// let answer = try companion.heard(RegisterResponse(status: 200, headers: headers, register: register.number), from: alice)
/// if answer.next == .again { … }                                         // take the tags, and register at once
/// ```
///
/// Nothing here waits for a network; what is to be stored is stored on the caller's thread before a call returns. Not to be called from
/// inside of the store. One client or companion at a time to a store.
public final class SipWakeCompanion: PushClient {
    private let ffi: SipWakeFFI.SipWakeCompanion
    private let hub = EventHub()
    private let backgroundTime: (any BackgroundTime)?

    /// Makes a companion that knows these accounts. Their transport is the stack's: what others can read does not get `X-PIID`.
    ///
    /// - Parameters:
    ///   - store: where records are kept: the client's own, so that an app may change from one to the other.
    ///   - stack: the app's SIP stack, which is asked from here on, first for log-outs that an earlier process could not deliver. It is
    ///     not kept: the app does that.
    ///   - accounts: the accounts of the logged-in users.
    ///   - backgroundTime: holds the process while a push or a log-out is carried out.
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

    /// The calls that are not over, each with the change that led to where it stands, and the caller as known now.
    public var calls: [CallUpdate] { hub.calls }

    public func follow() -> (calls: [CallUpdate], events: AsyncStream<SipWakeEvent>) { hub.follow() }

    public func note(_ failure: Failure) {
        hub.publish(.failed(failure))
    }

    /// Adds an account, or changes the settings of the one with the same AOR and registrar.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``, which names the field and the rule.
    @discardableResult
    public func addAccount(_ setup: AccountSetup) throws -> AccountID {
        AccountID(rawValue: try translating { try ffi.addAccount(setup: setup.foreign) })
    }

    /// Tells the other stack's own Contact URI, whenever that changes. Where the stack does not show it, the registrar's list does.
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

    /// Ends push and stays registered. From here on no push makes a sound.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func unbindPush(_ account: AccountID) throws -> Kept {
        Kept(try translating { try ffi.unbindPush(account: account.rawValue) })
    }

    /// Logs the user out: stored before this returns, unless it says so. ``pending()`` names the log-out, in later processes too, until an
    /// answer that was heard ends it (``SipWakeEvent/loggedOut(account:_:)``). From here on no push makes a sound.
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

    /// Takes another realm for `X-PIID` than the one that it was pinned to, of which ``SipWakeEvent/warning(account:_:)`` told.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)``, ``SipWakeError/noSuchAccount(reason:)``.
    @discardableResult
    public func acceptRealm(_ realm: String, for account: AccountID) throws -> Kept {
        Kept(try translating { try ffi.acceptRealm(account: account.rawValue, realm: realm) })
    }

    /// Says that the server may hold what no record tells of, as after an update from an app without sipwake: a log-out is then sent even
    /// where nothing was registered.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``.
    public func assumeBound(_ account: AccountID) throws {
        try translating { try ffi.assumeBound(account: account.rawValue) }
    }

    /// Returns what the stack's next REGISTER must say: the same again until it is answered, or something is wished otherwise. Ask before
    /// each REGISTER. All that this depends on is stored.
    ///
    /// - Throws: ``SipWakeError/noSuchAccount(reason:)``, or ``SipWakeError/noSuchRegister(reason:)`` where only gateways that were left
    ///   still hold something.
    public func registerTags(_ account: AccountID) throws -> CompanionRegister {
        CompanionRegister(try translating { try ffi.registerTags(account: account.rawValue) })
    }

    /// Returns the REGISTERs that take bindings back at gateways that were left, for a stack that can reach them.
    public func registersElsewhere() throws -> [CompanionRegister] {
        try translating { try ffi.registersElsewhere() }.map(CompanionRegister.init)
    }

    /// Tells under which Call-ID and CSeq the stack has sent a REGISTER, where it shows that: its answer is known by it.
    ///
    /// - Throws: ``SipWakeError/noSuchRegister(reason:)`` for a number that was never given, or is answered.
    public func sent(_ register: UInt64, callID: String, cseq: UInt32, for account: AccountID) throws {
        try translating { try ffi.sent(account: account.rawValue, number: register, callId: callID, cseq: cseq) }
    }

    /// Takes a response to a REGISTER of the stack, and says what follows from it.
    ///
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` for what is no response (`status`, `headers`),
    ///   ``SipWakeError/noSuchRegister(reason:)`` where no tags were taken, ``SipWakeError/noSuchAccount(reason:)``. Nothing was changed
    ///   then.
    @discardableResult
    public func heard(_ response: RegisterResponse, from account: AccountID) throws -> CompanionAnswer {
        CompanionAnswer(try translating { try ffi.heard(account: account.rawValue, response: response.foreign) })
    }

    /// As the other `heard`, for a whole response as it came over the wire.
    @discardableResult
    public func heard(message: Data, register: UInt64? = nil, from account: AccountID) throws -> CompanionAnswer {
        CompanionAnswer(try translating { try ffi.heardMessage(account: account.rawValue, register: register, response: message) })
    }

    /// Says what a push means for the operating system, at once, and has the stack register. Whatever the payload, there is an action; for
    /// a PushKit push it is one that can be shown to CallKit. After ``shutdown()`` a push is only read.
    public func push(_ payload: [AnyHashable: Any], channel: Channel, hints: PushHints = PushHints()) -> PushAction {
        push(json: json(payload), channel: channel, hints: hints)
    }

    /// As the other `push`, for a payload that is JSON text.
    public func push(json: Data, channel: Channel, hints: PushHints = PushHints()) -> PushAction {
        let judged = try? ffi.push(payload: .json(bytes: json), channel: channel.foreign, hints: hints.foreign)
        let action = judged.map(PushAction.init) ?? readPush(json: json, channel: channel, hints: hints)
        hub.hold(backgroundTime, for: action)
        return action
    }

    /// An INVITE came to the stack, for this account: says whether it rings, and under which name. Ask before it rings.
    ///
    /// - Parameter headers: all of its header fields, or at least `From`, `Call-ID`, and where it has them `P-Asserted-Identity`,
    ///   `X-Push-ID` and their like.
    /// - Throws: ``SipWakeError/invalidField(name:reason:)`` (`headers`), ``SipWakeError/noSuchAccount(reason:)``.
    public func invited(_ headers: [NamedValue], for account: AccountID) throws -> CompanionInvite {
        CompanionInvite(try translating { try ffi.invited(account: account.rawValue, headers: headers.map(\.foreign)) })
    }

    /// The user wants to answer, at any moment from the push on. Where the INVITE is here the stack is told to accept it; else
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

    /// The user declines a call that rings or was announced: the stack is told to refuse it, and an INVITE that comes later hears the same.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for a call that is over or answered.
    public func decline(_ call: UUID, _ how: DeclineHow = .everywhere) throws {
        try translating { try ffi.decline(call: call.uuidString, how: how.foreign) }
    }

    /// The user ends a call, whatever its state: the stack is told to hang up where it was answered, else to refuse it.
    ///
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for a call that is over.
    public func hangUp(_ call: UUID, _ why: HangUp = .normal) throws {
        try translating { try ffi.hangUp(call: call.uuidString, why: why.foreign) }
    }

    /// A CANCEL came to the stack, which answers its INVITE with 487. Returns how the call ended; nil while another INVITE of it rings.
    ///
    /// - Parameter headers: the CANCEL's, of which `Reason` tells whether the call was answered elsewhere (RFC 3326).
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for a call that is over or answered.
    @discardableResult
    public func cancelled(_ call: UUID, headers: [NamedValue] = []) throws -> EndReason? {
        try translating { try ffi.cancelled(call: call.uuidString, headers: headers.map(\.foreign)) }.map(EndReason.init)
    }

    /// Another device of the user has answered: the server has said so in another way than a CANCEL.
    ///
    /// - Throws: as ``ended(_:_:status:)``.
    public func answeredElsewhere(_ call: UUID) throws {
        try translating { try ffi.answeredElsewhere(call: call.uuidString) }
    }

    /// The call is over at the stack. From here on no late push or INVITE of it makes a sound.
    ///
    /// - Parameter status: the SIP status that says why, for `failed` only.
    /// - Throws: ``SipWakeError/noSuchCall(reason:)``, also for a call that is over: an end is told once.
    public func ended(_ call: UUID, _ how: EndReason, status: UInt16? = nil) throws {
        try translating { try ffi.ended(call: call.uuidString, how: how.foreign, status: status) }
    }

    /// Sets how long an announced call is waited for; what concerns answers is the stack's.
    public func setCallPolicy(_ policy: CallPolicy) throws {
        try translating { try ffi.setCallPolicy(policy: policy.foreign) }
    }

    /// Returns the public part of this phone's key for sealed pushes. See ``SipWakeClient/pushKey()``.
    ///
    /// - Throws: ``SipWakeError/store(reason:)`` while the store is shut or fails.
    public func pushKey() throws -> PushKey {
        PushKey(try translating { try ffi.pushKey() })
    }

    /// Says that the device's network changed: the stack is asked to register again.
    public func networkChanged() throws {
        try translating { try ffi.networkChanged() }
    }

    /// Says that the store can be read and written again: the phone was unlocked for the first time.
    public func storeAvailable() throws {
        try translating { try ffi.storeAvailable() }
    }

    /// Returns why the phone rang, or did not, as JSON. See ``SipWakeClient/report(_:)``.
    public func report(_ phone: PhoneState? = nil) throws -> String {
        try translating { try ffi.report(phone: phone?.ffi) }
    }

    /// Ends the companion at once: streams end, and the stack is no longer asked. Bindings stay on their servers.
    public func shutdown() {
        try? ffi.shutdown()
        hub.finish()
    }
}

/// Keeps neither the companion nor its stack.
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
