import Foundation
import SipWake

/// A call as the call screen shows it.
public struct CallState: Equatable, Sendable, Identifiable {
    public enum Phase: Equatable, Sendable {
        /// A push announced it; its INVITE is on its way.
        case announced
        case ringing
        /// The user answered; the caller has not confirmed it yet.
        case answering
        case connected(since: Date)
    }

    public let id: UUID
    public var caller: String
    public var phase: Phase
}

/// What became of the call before.
public struct CallReport: Equatable, Sendable {
    public let caller: String
    public let reason: EndReason
    /// The status of a failure.
    public let status: UInt16?
    /// How long both sides could talk.
    public let talked: Duration?
}

extension CallState {
    /// What the screen says of it.
    public var words: String {
        switch phase {
        case .announced: "A push announced the call; its INVITE is on its way"
        case .ringing: "The call is here and rings"
        case .answering: "Answered; waiting for the caller to confirm"
        case .connected: "Connected, without sound: this sample has no media engine and says so in its inactive SDP"
        }
    }

    /// Whether it may still be answered.
    public var answerable: Bool {
        phase == .announced || phase == .ringing
    }
}

extension CallReport {
    /// What the screen says of it.
    public var words: String {
        let end =
            switch reason {
            case .cancelled: "the caller gave up"
            case .answeredElsewhere: "answered on another device"
            case .declinedElsewhere: "declined on another device"
            case .declined: "declined here"
            case .hungUpByCaller: "the caller hung up"
            case .hungUp: "hung up here"
            case .failed: status.map { "failed with \($0)" } ?? "failed"
            case .missed: "announced, but its INVITE never came"
            case .unanswered: "nobody answered"
            case .loggedOut: "ended by logging out"
            default: "ended"
            }
        return talked.map { "\(end) after \(Int($0.timeInterval.rounded())) s" } ?? end
    }
}

extension Caller {
    var label: String {
        if let displayName, !displayName.isEmpty { return displayName }
        return uri.isEmpty ? "Unknown caller" : uri
    }
}
