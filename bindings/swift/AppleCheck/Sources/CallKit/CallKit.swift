import AVFAudio
import Foundation

public class CXProviderConfiguration: NSObject {
    public var supportsVideo = false
    public var maximumCallGroups = 2
    public var maximumCallsPerCallGroup = 5
    public var supportedHandleTypes: Set<CXHandle.HandleType> = []
}

public class CXHandle: NSObject {
    public enum HandleType: Int { case generic = 1, phoneNumber, emailAddress }
    public init(type: HandleType, value: String) {}
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

public enum CXCallEndedReason: Int { case failed = 1, remoteEnded, unanswered, answeredElsewhere, declinedElsewhere }

public struct CXErrorCodeIncomingCallError: Error {
    public enum Code: Int, Sendable { case unknown, unentitled, callUUIDAlreadyExists, filteredByDoNotDisturb, filteredByBlockList }
    public var code: Code
}

public class CXAction: NSObject {
    public func fulfill() {}
    public func fail() {}
}

public class CXCallAction: CXAction {
    public let callUUID: UUID
    public init(call uuid: UUID) { callUUID = uuid }
}

public class CXTransaction: NSObject {
    public init(action: CXAction) {}
}

public class CXCallController: NSObject {
    public func request(_ transaction: CXTransaction, completion: @escaping @Sendable ((any Error)?) -> Void) {}
}

public class CXAnswerCallAction: CXCallAction {}
public class CXEndCallAction: CXCallAction {}

public protocol CXProviderDelegate: NSObjectProtocol {
    func providerDidReset(_ provider: CXProvider)
    func provider(_ provider: CXProvider, perform action: CXAnswerCallAction)
    func provider(_ provider: CXProvider, perform action: CXEndCallAction)
    func provider(_ provider: CXProvider, timedOutPerforming action: CXAction)
    func provider(_ provider: CXProvider, didActivate audioSession: AVAudioSession)
    func provider(_ provider: CXProvider, didDeactivate audioSession: AVAudioSession)
}

public class CXProvider: NSObject {
    public init(configuration: CXProviderConfiguration) {}
    public func setDelegate(_ delegate: (any CXProviderDelegate)?, queue: DispatchQueue?) {}
    public func reportNewIncomingCall(
        with uuid: UUID, update: CXCallUpdate, completion: @escaping @Sendable ((any Error)?) -> Void
    ) {}
    public func reportCall(with uuid: UUID, updated update: CXCallUpdate) {}
    public func reportCall(with uuid: UUID, endedAt: Date?, reason: CXCallEndedReason) {}
    public class func reportNewIncomingVoIPPushPayload(
        _ payload: [AnyHashable: Any], completion: (((any Error)?) -> Void)? = nil
    ) {}
}
