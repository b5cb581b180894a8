import AVFAudio
import Foundation

public struct Handle: Hashable, Sendable {
    public enum Kind: Hashable, Sendable { case generic, phoneNumber, emailAddress }
    public let type: Kind
    public let value: String
    public let displayName: String
    public init(type: Kind, value: String, displayName: String? = nil) {
        self.type = type
        self.value = value
        self.displayName = displayName ?? value
    }
}

public final class Conversation {
    public enum State: Int, Sendable { case idle, joining, joined, paused, leaving, left }
    public enum EndedReason: Int, Sendable { case failed, remoteEnded, unanswered, joinedElsewhere, declinedElsewhere }

    public enum Event {
        case conversationStartedConnecting(Date)
        case conversationConnected(Date)
        case conversationEnded(Date, EndedReason)
        case conversationUpdated(Update)
    }

    public struct Capabilities: OptionSet, Sendable {
        public let rawValue: Int
        public init(rawValue: Int) { self.rawValue = rawValue }
        public static let video = Self(rawValue: 1)
        public static let pausing = Self(rawValue: 2)
        public static let merging = Self(rawValue: 4)
        public static let unmerging = Self(rawValue: 8)
        public static let playingTones = Self(rawValue: 16)
    }

    public struct Update {
        public var localMember: Handle?
        public var members: Set<Handle>?
        public var activeRemoteMembers: Set<Handle>?
        public var capabilities: Capabilities?
        public init(
            localMember: Handle? = nil, members: Set<Handle>? = nil, activeRemoteMembers: Set<Handle>? = nil,
            capabilities: Capabilities? = nil
        ) {
            self.localMember = localMember
            self.members = members
            self.activeRemoteMembers = activeRemoteMembers
            self.capabilities = capabilities
        }
    }

    public let uuid: UUID
    public internal(set) var state = State.idle
    init(_ uuid: UUID) { self.uuid = uuid }
}

public class ConversationAction {
    public let uuid = UUID()
    public final let conversationUUID: UUID
    public final internal(set) var timeoutDate: Date
    var settled = false
    init(of conversation: UUID, until timeoutDate: Date = Date(timeIntervalSinceNow: 30)) {
        conversationUUID = conversation
        self.timeoutDate = timeoutDate
    }

    public final func fulfill() { PlayedConversations.shared.settle(self, done: true, dated: false) }
    public final func fail() { PlayedConversations.shared.settle(self, done: false, dated: false) }
}

public final class JoinConversationAction: ConversationAction {
    public func fulfill(dateConnected: Date) { PlayedConversations.shared.settle(self, done: true, dated: true) }
}

public final class EndConversationAction: ConversationAction {
    public func fulfill(dateEnded: Date) { PlayedConversations.shared.settle(self, done: true, dated: true) }
}

public final class MuteConversationAction: ConversationAction {
    public let isMuted: Bool
    init(of conversation: UUID, isMuted: Bool) {
        self.isMuted = isMuted
        super.init(of: conversation)
    }
}

public final class PauseConversationAction: ConversationAction {
    public let isPaused: Bool
    init(of conversation: UUID, isPaused: Bool) {
        self.isPaused = isPaused
        super.init(of: conversation)
    }
}

public final class PlayToneAction: ConversationAction {
    public enum Tone: Sendable { case single, softPause, hardPause }
    public let digits: String
    public let tone = Tone.single
    init(of conversation: UUID, digits: String) {
        self.digits = digits
        super.init(of: conversation)
    }
}

public final class MergeConversationAction: ConversationAction {
    public let conversationUUIDToMergeWith: UUID
    init(of conversation: UUID, with other: UUID) {
        conversationUUIDToMergeWith = other
        super.init(of: conversation)
    }
}

public final class UnmergeConversationAction: ConversationAction {}

public protocol ConversationManagerDelegate: AnyObject {
    func conversationManagerDidBegin(_ manager: ConversationManager)
    func conversationManagerDidReset(_ manager: ConversationManager)
    func conversationManager(_ manager: ConversationManager, conversationChanged conversation: Conversation)
    func conversationManager(_ manager: ConversationManager, perform action: ConversationAction)
    func conversationManager(_ manager: ConversationManager, timedOutPerforming action: ConversationAction)
    func conversationManager(_ manager: ConversationManager, didActivate audioSession: AVAudioSession)
    func conversationManager(_ manager: ConversationManager, didDeactivate audioSession: AVAudioSession)
}

public final class ConversationManager {
    public struct Configuration {
        public var includesConversationInRecents: Bool
        public init(
            ringtoneName: String?, iconTemplateImageData: Data?, maximumConversationGroups: Int,
            maximumConversationsPerConversationGroup: Int, includesConversationInRecents: Bool, supportsVideo: Bool,
            supportedHandleTypes: Set<Handle.Kind>
        ) {
            self.includesConversationInRecents = includesConversationInRecents
        }
    }

    public let configuration: Configuration
    public weak var delegate: (any ConversationManagerDelegate)?
    var valid = true

    public init(configuration: Configuration) {
        self.configuration = configuration
        PlayedConversations.shared.made(self)
    }

    public var conversations: [Conversation] { PlayedConversations.shared.live }

    public func reportNewIncomingConversation(uuid: UUID, update: Conversation.Update) async throws {
        try await PlayedConversations.shared.report(uuid, update, to: self)
    }

    public func reportConversationEvent(_ event: Conversation.Event, for conversation: Conversation) {
        PlayedConversations.shared.told(event, of: conversation, by: self)
    }

    public func invalidate() {
        PlayedConversations.shared.gone(self)
    }
}
