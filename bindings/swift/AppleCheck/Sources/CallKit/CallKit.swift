import AVFAudio
import Foundation

public class CXProviderConfiguration: NSObject {
    public var supportsVideo = false
    public var maximumCallGroups = 2
    public var maximumCallsPerCallGroup = 5
    public var includesCallsInRecents = true
    public var supportedHandleTypes: Set<CXHandle.HandleType> = []
}

public class CXHandle: NSObject {
    public enum HandleType: Int { case generic = 1, phoneNumber, emailAddress }
    public let value: String
    public init(type: HandleType, value: String) { self.value = value }
}

public class CXCallUpdate: NSObject {
    public var remoteHandle: CXHandle?
    public var localizedCallerName: String?
    public var hasVideo = false
    public var supportsHolding = false
    public var supportsGrouping = false
    public var supportsUngrouping = false
    public var supportsDTMF = false
}

public enum CXCallEndedReason: Int, Sendable { case failed = 1, remoteEnded, unanswered, answeredElsewhere, declinedElsewhere }

public struct CXErrorCodeIncomingCallError: CustomNSError {
    public enum Code: Int, Sendable { case unknown, unentitled, callUUIDAlreadyExists, filteredByDoNotDisturb, filteredByBlockList }
    public var code: Code
    public static let errorDomain = "com.apple.CallKit.error.incomingcall"
    public var errorCode: Int { code.rawValue }
}

public class CXAction: NSObject {
    public internal(set) var timeoutDate = Date.distantFuture
    public internal(set) var isComplete = false
    public func fulfill() { PlayedCallKit.shared.settle(self, done: true) }
    public func fail() { PlayedCallKit.shared.settle(self, done: false) }
}

public class CXCallAction: CXAction {
    public let callUUID: UUID
    public init(call uuid: UUID) { callUUID = uuid }
}

public class CXAnswerCallAction: CXCallAction {}
public class CXEndCallAction: CXCallAction {}

public class CXSetMutedCallAction: CXCallAction {
    public let isMuted: Bool
    public init(call uuid: UUID, muted: Bool) {
        isMuted = muted
        super.init(call: uuid)
    }
}

public class CXSetHeldCallAction: CXCallAction {
    public let isOnHold: Bool
    public init(call uuid: UUID, onHold: Bool) {
        isOnHold = onHold
        super.init(call: uuid)
    }
}

public class CXPlayDTMFCallAction: CXCallAction {
    public let digits: String
    public init(call uuid: UUID, digits: String) {
        self.digits = digits
        super.init(call: uuid)
    }
}

public class CXSetGroupCallAction: CXCallAction {
    public let callUUIDToGroupWith: UUID?
    public init(call uuid: UUID, callUUIDToGroupWith other: UUID?) {
        callUUIDToGroupWith = other
        super.init(call: uuid)
    }
}

public class CXTransaction: NSObject {
    public init(action: CXAction) {}
}

public class CXCallController: NSObject {
    public func request(_ transaction: CXTransaction, completion: @escaping ((any Error)?) -> Void) {}
}

public protocol CXProviderDelegate: NSObjectProtocol {
    func providerDidReset(_ provider: CXProvider)
    func provider(_ provider: CXProvider, perform action: CXAnswerCallAction)
    func provider(_ provider: CXProvider, perform action: CXEndCallAction)
    func provider(_ provider: CXProvider, perform action: CXSetMutedCallAction)
    func provider(_ provider: CXProvider, perform action: CXSetHeldCallAction)
    func provider(_ provider: CXProvider, perform action: CXPlayDTMFCallAction)
    func provider(_ provider: CXProvider, perform action: CXSetGroupCallAction)
    func provider(_ provider: CXProvider, timedOutPerforming action: CXAction)
    func provider(_ provider: CXProvider, didActivate audioSession: AVAudioSession)
    func provider(_ provider: CXProvider, didDeactivate audioSession: AVAudioSession)
}

public class CXProvider: NSObject {
    public internal(set) weak var delegate: (any CXProviderDelegate)?
    var valid = true

    public init(configuration: CXProviderConfiguration) {
        super.init()
        PlayedCallKit.shared.made(self)
    }

    public func setDelegate(_ delegate: (any CXProviderDelegate)?, queue: DispatchQueue?) {
        self.delegate = delegate
        if queue?.label != DispatchQueue.main.label { PlayedCallKit.shared.violation("the delegate must be called on another queue than the main one") }
    }

    public func invalidate() {
        PlayedCallKit.shared.gone(self)
    }

    public func reportNewIncomingCall(with uuid: UUID, update: CXCallUpdate, completion: @escaping ((any Error)?) -> Void) {
        let error = PlayedCallKit.shared.report(uuid, update, to: self)
        // On CallKit's own queue.
        nonisolated(unsafe) let completion = completion
        DispatchQueue.global().async { completion(error.map { CXErrorCodeIncomingCallError(code: $0) }) }
    }

    public func reportCall(with uuid: UUID, updated update: CXCallUpdate) {
        PlayedCallKit.shared.update(uuid, update)
    }

    public func reportCall(with uuid: UUID, endedAt: Date?, reason: CXCallEndedReason) {
        PlayedCallKit.shared.end(uuid, reason)
    }

    public class func reportNewIncomingVoIPPushPayload(
        _ payload: [AnyHashable: Any], completion: (((any Error)?) -> Void)? = nil
    ) {
        let error = PlayedCallKit.shared.handOver(payload)
        nonisolated(unsafe) let completion = completion
        DispatchQueue.global().async { completion?(error) }
    }
}
