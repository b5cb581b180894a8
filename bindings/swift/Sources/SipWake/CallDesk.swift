import Foundation

/// What shows calls to the user: CallKit on a phone, see `CallKitBridge`.
@MainActor
public protocol CallScreen: AnyObject {
    /// Shows an incoming call. `done` is told once the system took or refused it; a call that is shown already is taken.
    func show(_ call: ShownCall, done: @escaping @MainActor (_ taken: Bool) -> Void)
    /// Shows who calls, now that it is known better.
    func update(_ call: ShownCall)
    /// Takes a call off the screen.
    func end(_ call: UUID, _ reason: EndReason)
}

/// A call as the user sees it.
public struct ShownCall: Equatable, Sendable {
    /// The UUID that its push, its INVITE and the screen have in common.
    public let uuid: UUID
    /// The caller's number or URI; may be empty.
    public let caller: String
    /// The name to show; nil if it is not known.
    public let label: String?
    /// Whether the push says that it is a video call.
    public let video: Bool
}

/// Something that the user did on the screen and that the system waits for: a `CXAction`.
@MainActor
public protocol CallScreenAction: AnyObject {
    /// It is done.
    func fulfill()
    /// It could not be done.
    func fail()
}

/// The app's media engine, as far as calls need one.
@MainActor
public protocol CallMedia: AnyObject {
    /// Returns our session description: the answer to the caller's offer or, if there is none, our offer. What is thrown ends the
    /// call with 488.
    func answer(_ call: UUID, to offer: SessionDescription?) async throws -> SessionDescription
    /// The call is up. `answer` is the caller's, if the offer was ours.
    func connected(_ call: UUID, answer: SessionDescription?)
    /// Returns our answer to a new offer during the call (our offer, if there is none), or nil to refuse and go on as before.
    func renegotiate(_ call: UUID, offer: SessionDescription?) async -> SessionDescription?
    /// The caller answered the offer that `renegotiate` gave.
    func renegotiated(_ call: UUID, answer: SessionDescription)
    /// The call is over.
    func ended(_ call: UUID, _ reason: EndReason)
}

extension CallMedia {
    public func renegotiate(_ call: UUID, offer: SessionDescription?) async -> SessionDescription? { nil }
    public func renegotiated(_ call: UUID, answer: SessionDescription) {}
}

/// Brings together a client's calls, what shows them to the user, and the app's media engine. `CallKitBridge` is this with CallKit.
///
/// The user's "answer" is fulfilled when the caller's ACK came, and not before; it fails if the call ends first.
@MainActor
public final class CallDesk {
    private let client: SipWakeClient
    private let screen: any CallScreen
    private let media: any CallMedia
    /// What is on the screen.
    private var shown: [UUID: ShownCall] = [:]
    /// What the user did to answer, until the call is up.
    private var answering: [UUID: any CallScreenAction] = [:]

    /// Follows the client's calls until it ends.
    public init(_ client: SipWakeClient, screen: any CallScreen, media: any CallMedia) {
        self.client = client
        self.screen = screen
        self.media = media
        let events = client.events()
        Task { [weak self] in
            for await event in events {
                guard case .call(let uuid, _, let change, _) = event else { continue }
                self?.follow(uuid, change)
            }
        }
    }

    /// Does what a push asks of the screen, at once: PushKit wants a call to be reported before its delegate returns. `done` is told
    /// when the system has taken note.
    public func report(_ action: PushAction, done: @escaping @MainActor () -> Void) {
        let call = ShownCall(
            uuid: action.uuid, caller: action.caller ?? "", label: action.callerLabel,
            video: action.kind == .incomingCall(video: true))
        switch action.duty {
        case .reportCall:
            show(call, done: done)
        case .reportThenEnd:
            screen.show(call) { _ in done() }
            screen.end(call.uuid, .cancelled)
            shown[call.uuid] = nil
        case .showNotification, .startForegroundService, .nothing:
            done()
        }
    }

    /// The user answers. The action is fulfilled once the call is up.
    public func userAnswers(_ call: UUID, _ action: any CallScreenAction) {
        answering.updateValue(action, forKey: call)?.fail()
        Task { [client] in
            do { try await client.answer(call) } catch { giveUp(call) }
        }
    }

    /// The user declines or hangs up.
    public func userEnds(_ call: UUID, _ action: any CallScreenAction) {
        shown[call] = nil
        giveUp(call)
        action.fulfill()
        Task { [client] in try? await client.hangUp(call) }
    }

    /// The system would not wait any longer for an answer to be fulfilled: the call cannot go on.
    public func answerTimedOut(_ call: UUID) {
        guard answering.removeValue(forKey: call) != nil else { return }
        Task { [client] in try? await client.hangUp(call, .failed(status: 480)) }
    }

    /// The system dropped all that it showed: every call ends.
    public func reset() {
        let calls = Set(shown.keys).union(answering.keys)
        shown = [:]
        for call in answering.keys { giveUp(call) }
        Task { [client] in
            for call in calls { try? await client.hangUp(call) }
        }
    }

    private func giveUp(_ call: UUID) {
        answering.removeValue(forKey: call)?.fail()
    }

    private func show(_ call: ShownCall, done: @escaping @MainActor () -> Void) {
        shown[call.uuid] = call
        screen.show(call) { [weak self, client] taken in
            done()
            if taken { return }
            self?.shown[call.uuid] = nil
            // The user does not want to be disturbed: this device is busy, others go on ringing.
            Task { try? await client.decline(call.uuid, .busy) }
        }
    }

    private func follow(_ uuid: UUID, _ change: CallChange) {
        switch change {
        case .announced(let caller), .ringing(let caller, _, _):
            if shown[uuid] == nil { show(ShownCall(uuid, caller)) {} }
        case .callerChanged(let caller):
            guard let before = shown[uuid] else { return }
            let call = ShownCall(uuid, caller, video: before.video)
            shown[uuid] = call
            screen.update(call)
        case .answerWanted(_, let offer):
            accept(uuid, offer)
        case .connected(let answer):
            answering.removeValue(forKey: uuid)?.fulfill()
            media.connected(uuid, answer: answer)
        case .offered(let offer):
            Task { [client, media] in
                let ours = await media.renegotiate(uuid, offer: offer)
                try? await client.respond(toOfferOf: uuid, with: ours)
            }
        case .ended(let reason, _):
            giveUp(uuid)
            if shown.removeValue(forKey: uuid) != nil { screen.end(uuid, reason) }
            media.ended(uuid, reason)
        case .answered(let answer):
            media.renegotiated(uuid, answer: answer)
        case .other:
            break
        }
    }

    private func accept(_ uuid: UUID, _ offer: SessionDescription?) {
        Task { [client, media] in
            do {
                try await client.accept(uuid, with: try await media.answer(uuid, to: offer))
            } catch {
                giveUp(uuid)
                try? await client.hangUp(uuid, .failed(status: 488))
            }
        }
    }
}

extension ShownCall {
    fileprivate init(_ uuid: UUID, _ caller: Caller, video: Bool = false) {
        self.init(uuid: uuid, caller: caller.uri, label: caller.displayName, video: video)
    }
}
