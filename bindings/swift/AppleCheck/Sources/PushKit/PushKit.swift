import CallKit
import Foundation

public struct PKPushType: Hashable, Sendable {
    public static let voIP = PKPushType()
}

public class PKPushCredentials: NSObject {
    public let token: Data
    init(_ token: Data) { self.token = token }
}

public class PKPushPayload: NSObject {
    public let dictionaryPayload: [AnyHashable: Any]
    init(_ payload: [AnyHashable: Any]) { dictionaryPayload = payload }
}

public class PKVoIPPushMetadata: NSObject {
    public let mustReport: Bool
    init(_ mustReport: Bool) { self.mustReport = mustReport }
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
    /// The app's newest registry.
    public nonisolated(unsafe) static weak var played: PKPushRegistry?

    private var token: Data?

    public init(queue: DispatchQueue?) {
        super.init()
        Self.played = self
    }

    public weak var delegate: (any PKPushRegistryDelegate)?
    public var desiredPushTypes: Set<PKPushType>?
    public func pushToken(for type: PKPushType) -> Data? { token }

    /// Gives the app a token.
    @MainActor
    public func give(_ token: Data) {
        self.token = token
        delegate?.pushRegistry(self, didUpdate: PKPushCredentials(token), for: .voIP)
    }

    @MainActor
    public func invalidate() {
        token = nil
        delegate?.pushRegistry(self, didInvalidatePushTokenFor: .voIP)
    }

    /// Delivers a push; with `mustReport`, as iOS 26.4 does. iOS kills an app that must report a call and has not done so when its
    /// delegate returns. Here that is a violation. Returns whether it reported one, and a count of the completions.
    @MainActor
    public func deliver(_ payload: [AnyHashable: Any], mustReport: Bool? = nil, withoutCallKit: Bool = false) -> Delivery {
        guard desiredPushTypes?.contains(.voIP) == true else {
            PlayedCallKit.shared.violation("no VoIP push was asked for")
            return Delivery(reported: false)
        }
        let before = PlayedCallKit.shared.reports.count
        let completions = Completions()
        if let mustReport {
            delegate?.pushRegistry(
                self, didReceiveIncomingVoIPPushWith: PKPushPayload(payload), metadata: PKVoIPPushMetadata(mustReport),
                withCompletionHandler: { completions.add() })
        } else {
            delegate?.pushRegistry(
                self, didReceiveIncomingPushWith: PKPushPayload(payload), for: .voIP, completion: { completions.add() })
        }
        let reported = PlayedCallKit.shared.reports.count > before
        if !reported, mustReport != false, !withoutCallKit {
            PlayedCallKit.shared.violation("no call was reported before PushKit's delegate returned: iOS kills the app")
        }
        return Delivery(reported: reported, completions: completions)
    }
}

public struct Delivery: Sendable {
    public let reported: Bool
    var completions = Completions()
    /// How often PushKit's handler was called.
    public var completed: Int { completions.count }
}

final class Completions: @unchecked Sendable {
    private let lock = NSLock()
    private var number = 0
    func add() { lock.withLock { number += 1 } }
    var count: Int { lock.withLock { number } }
}
