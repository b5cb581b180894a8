import AVFAudio
import Foundation

/// CallKit's side: what it shows, what its user does, and the app's violations.
public final class PlayedCallKit: @unchecked Sendable {
    public static let shared = PlayedCallKit()

    public enum State: Sendable { case ringing, connected, ended }

    public struct Call: Sendable {
        public var state = State.ringing
        public var caller: String
        public var name: String?
        public var reason: CXCallEndedReason?
    }

    public struct NoEntitlement: Error {}

    // Guards all fields.
    private let lock = NSRecursiveLock()
    private var broken: [String] = []
    private var calls: [UUID: Call] = [:]
    private var reported: [UUID] = []
    private weak var provider: CXProvider?
    private var refusing: CXErrorCodeIncomingCallError.Code?
    private var handedOver = 0
    private var entitled = true

    /// Forgets everything, for the next test.
    public func reset() {
        lock.withLock {
            (broken, calls, reported, refusing, handedOver, entitled) = ([], [:], [], nil, 0, true)
            provider?.valid = false
            provider = nil
        }
    }

    /// The app's violations: a phone would punish them, or overlook them to the user's harm.
    public var violations: [String] { lock.withLock { broken } }
    /// The reported UUIDs in their order, with repetitions.
    public var reports: [UUID] { lock.withLock { reported } }
    public var payloadsHandedOver: Int { lock.withLock { handedOver } }
    public func call(_ uuid: UUID) -> Call? { lock.withLock { calls[uuid] } }
    /// Refuses new calls with this code.
    public func refuse(_ code: CXErrorCodeIncomingCallError.Code?) { lock.withLock { refusing = code } }
    public func setEntitled(_ entitled: Bool) { lock.withLock { self.entitled = entitled } }

    public func violation(_ what: String) {
        lock.withLock { broken.append(what) }
    }

    // The user's actions.

    @MainActor
    public func userAnswers(_ uuid: UUID, within seconds: TimeInterval = 60) -> CXAnswerCallAction {
        let action = timed(CXAnswerCallAction(call: uuid), seconds)
        if let provider { provider.delegate?.provider(provider, perform: action) }
        return action
    }

    @MainActor
    public func userEnds(_ uuid: UUID) -> CXEndCallAction {
        let action = timed(CXEndCallAction(call: uuid), 60)
        if let provider { provider.delegate?.provider(provider, perform: action) }
        return action
    }

    @MainActor
    public func userMutes(_ uuid: UUID) -> CXAction {
        let action = timed(CXSetMutedCallAction(call: uuid, muted: true), 60)
        if let provider { provider.delegate?.provider(provider, perform: action) }
        return action
    }

    @MainActor
    public func userHolds(_ uuid: UUID) -> CXAction {
        let action = timed(CXSetHeldCallAction(call: uuid, onHold: true), 60)
        if let provider { provider.delegate?.provider(provider, perform: action) }
        return action
    }

    @MainActor
    public func userDials(_ digits: String, in uuid: UUID) -> CXAction {
        let action = timed(CXPlayDTMFCallAction(call: uuid, digits: digits), 60)
        if let provider { provider.delegate?.provider(provider, perform: action) }
        return action
    }

    @MainActor
    public func crash() {
        if let provider { provider.delegate?.providerDidReset(provider) }
    }

    private func timed<Action: CXAction>(_ action: Action, _ seconds: TimeInterval) -> Action {
        action.timeoutDate = Date() + seconds
        return action
    }

    // The app's calls.

    func made(_ new: CXProvider) {
        lock.withLock {
            if provider?.valid == true { violation("a second provider while the first is in use") }
            provider = new
        }
    }

    func gone(_ old: CXProvider) {
        lock.withLock { old.valid = false }
    }

    func report(_ uuid: UUID, _ update: CXCallUpdate, to provider: CXProvider) -> CXErrorCodeIncomingCallError.Code? {
        lock.withLock {
            if !provider.valid { violation("a report to a provider that was invalidated") }
            reported.append(uuid)
            if let call = calls[uuid], call.state != .ended { return .callUUIDAlreadyExists }
            if let refusing { return refusing }
            calls[uuid] = Call(caller: update.remoteHandle?.value ?? "", name: update.localizedCallerName)
            return nil
        }
    }

    func update(_ uuid: UUID, _ update: CXCallUpdate) {
        lock.withLock {
            guard calls[uuid] != nil else { return violation("an update of a call that CallKit does not know") }
            calls[uuid]?.caller = update.remoteHandle?.value ?? ""
            calls[uuid]?.name = update.localizedCallerName
        }
    }

    func end(_ uuid: UUID, _ reason: CXCallEndedReason) {
        lock.withLock {
            guard let call = calls[uuid], call.state != .ended else { return violation("the end of a call that CallKit does not know") }
            over(uuid, reason)
            if call.state == .connected { audio(false) }
        }
    }

    func handOver(_ payload: [AnyHashable: Any]) -> (any Error)? {
        lock.withLock {
            handedOver += 1
            return entitled ? nil : NoEntitlement()
        }
    }

    func settle(_ action: CXAction, done: Bool) {
        lock.withLock {
            let name = String(describing: type(of: action))
            if action.isComplete { return violation("\(name) was settled twice") }
            action.isComplete = true
            if action.timeoutDate < Date() { return violation("\(name) was settled after its time") }
            guard let call = action as? CXCallAction else { return }
            let state = calls[call.callUUID]?.state
            switch action {
            case is CXAnswerCallAction:
                if !done { return state == .ended ? () : over(call.callUUID, .failed) }
                guard state == .ringing else { return violation("an answer fulfilled out of order: the call is \(state.map { "\($0)" } ?? "unknown")") }
                calls[call.callUUID]?.state = .connected
                audio(true)
            case is CXEndCallAction:
                if state == .connected { audio(false) }
                over(call.callUUID, nil)
            default:
                if state != .connected { violation("\(name) settled for a call that is not connected") }
            }
        }
    }

    private func over(_ uuid: UUID, _ reason: CXCallEndedReason?) {
        calls[uuid]?.state = .ended
        calls[uuid]?.reason = reason
    }

    private func audio(_ active: Bool) {
        Task { @MainActor in
            guard let provider = lock.withLock({ self.provider }) else { return }
            if active {
                provider.delegate?.provider(provider, didActivate: .sharedInstance())
            } else {
                provider.delegate?.provider(provider, didDeactivate: .sharedInstance())
            }
        }
    }
}
