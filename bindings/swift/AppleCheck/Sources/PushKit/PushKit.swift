import Foundation

public struct PKPushType: Hashable, Sendable {
    public static let voIP = PKPushType()
}

public class PKPushCredentials: NSObject {
    public let token = Data()
}

public class PKPushPayload: NSObject {
    public let dictionaryPayload: [AnyHashable: Any] = [:]
}

public class PKVoIPPushMetadata: NSObject {
    public let mustReport = true
}

public protocol PKPushRegistryDelegate: NSObjectProtocol {
    func pushRegistry(_ registry: PKPushRegistry, didUpdate credentials: PKPushCredentials, for type: PKPushType)
    func pushRegistry(_ registry: PKPushRegistry, didInvalidatePushTokenFor type: PKPushType)
    func pushRegistry(
        _ registry: PKPushRegistry, didReceiveIncomingPushWith payload: PKPushPayload, for type: PKPushType,
        completion: @escaping () -> Void)
    func pushRegistry(
        _ registry: PKPushRegistry, didReceiveIncomingVoIPPushWith payload: PKPushPayload, metadata: PKVoIPPushMetadata,
        withCompletionHandler completion: @escaping () -> Void)
}

public class PKPushRegistry: NSObject {
    public init(queue: DispatchQueue?) {}
    public weak var delegate: (any PKPushRegistryDelegate)?
    public var desiredPushTypes: Set<PKPushType>?
    public func pushToken(for type: PKPushType) -> Data? { nil }
}
