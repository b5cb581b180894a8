import Foundation

public struct NWPath: Equatable, Sendable {
    public enum Status: Sendable { case satisfied, unsatisfied, requiresConnection }
    public enum UnsatisfiedReason: Sendable { case notAvailable, cellularDenied, wifiDenied, localNetworkDenied, vpnInactive }

    public let status: Status
    public let unsatisfiedReason: UnsatisfiedReason
    let interface: NWInterface.InterfaceType?

    public func usesInterfaceType(_ type: NWInterface.InterfaceType) -> Bool { interface == type }

    /// A path for the tests.
    public init(_ status: Status, by interface: NWInterface.InterfaceType? = nil, because reason: UnsatisfiedReason = .notAvailable) {
        self.status = status
        self.interface = interface
        unsatisfiedReason = reason
    }
}

public enum NWInterface {
    public enum InterfaceType: Sendable { case other, wifi, cellular, wiredEthernet, loopback }
}

/// Reports the current path on its queue after its start, and nothing after it was cancelled.
public final class NWPathMonitor: @unchecked Sendable {
    /// Set by the tests before a monitor starts.
    public nonisolated(unsafe) static var played = NWPath(.satisfied, by: .wifi)

    // Guards the handler.
    private let lock = NSLock()
    private var handler: (@Sendable (NWPath) -> Void)?

    public init() {}

    public var pathUpdateHandler: (@Sendable (NWPath) -> Void)? {
        get { lock.withLock { handler } }
        set { lock.withLock { handler = newValue } }
    }

    public func start(queue: DispatchQueue) {
        let path = Self.played
        queue.async { self.pathUpdateHandler?(path) }
    }

    public func cancel() { pathUpdateHandler = nil }
}
