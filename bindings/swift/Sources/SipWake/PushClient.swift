import Foundation

/// The base of the ready-made parts for a phone: a ``SipWakeClient``, or a ``SipWakeCompanion`` beside another stack. Both judge pushes,
/// know each call by one UUID from its push on, and report what happens to it.
public protocol PushClient: AnyObject, Sendable {
    /// Says at once what a push means for the operating system. Any payload gives an action, and CallKit can show the action of any
    /// PushKit push.
    func push(_ payload: [AnyHashable: Any], channel: Channel, hints: PushHints) -> PushAction
    /// Hands over the push tokens: PushKit's for calls, and the one for alerts.
    @discardableResult
    func setToken(_ token: String?, alert: String?, for account: AccountID) async throws -> TokenOutcome
    /// Removes the push binding and keeps the account registered.
    @discardableResult
    func unbindPush(_ account: AccountID) async throws -> Kept
    /// Says that the user answers. This works at any time after the push.
    func answer(_ call: UUID) async throws
    /// Declines a call that rings or was announced.
    func decline(_ call: UUID, _ how: DeclineHow) async throws
    /// Ends a call in any state.
    func hangUp(_ call: UUID, _ why: HangUp) async throws
    /// Says that the device's network changed.
    func networkChanged() async throws
    /// Tells every reader about a failure that no caller waits for, as ``SipWakeEvent/failed(_:)``.
    func note(_ failure: Failure)
    /// Returns the calls that are not over, and a stream of all events from that moment on.
    func follow() -> (calls: [CallUpdate], events: AsyncStream<SipWakeEvent>)
}
