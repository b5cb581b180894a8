import Foundation

/// What the ready parts for a phone stand on: a ``SipWakeClient``, or a ``SipWakeCompanion`` beside another stack. Both judge pushes, know
/// each call by one UUID from its push on, and tell what becomes of it.
public protocol PushClient: AnyObject, Sendable {
    /// Says what a push means for the operating system, at once: whatever the payload, there is an action; for a PushKit push it is one
    /// that can be shown to CallKit.
    func push(_ payload: [AnyHashable: Any], channel: Channel, hints: PushHints) -> PushAction
    /// Hands over the push tokens: PushKit's for calls, and the one for alerts.
    @discardableResult
    func setToken(_ token: String?, alert: String?, for account: AccountID) async throws -> TokenOutcome
    /// Removes the push binding and stays registered.
    @discardableResult
    func unbindPush(_ account: AccountID) async throws -> Kept
    /// Says that the user answers, at any moment from the push on.
    func answer(_ call: UUID) async throws
    /// Declines a call that rings or was announced.
    func decline(_ call: UUID, _ how: DeclineHow) async throws
    /// Ends a call, whatever its state.
    func hangUp(_ call: UUID, _ why: HangUp) async throws
    /// Says that the device's network changed.
    func networkChanged() async throws
    /// Tells every reader of a failure that no caller waits for, as ``SipWakeEvent/failed(_:)``.
    func note(_ failure: Failure)
    /// Returns the calls that are not over, and a stream of all events from that moment on.
    func follow() -> (calls: [CallUpdate], events: AsyncStream<SipWakeEvent>)
}
