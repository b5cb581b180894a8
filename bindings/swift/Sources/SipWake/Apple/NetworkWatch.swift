#if SIPWAKE_STANDINS || (canImport(Network) && canImport(Darwin))
    import Foundation
    import Network
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Tells a client or companion about each change of network, until it is released.
    public final class NetworkWatch: Sendable {
        private let monitor = NWPathMonitor()

        /// Begins to watch.
        public init(_ client: any PushClient) {
            let queue = DispatchQueue(label: "sipwake.network")
            let last = Last()
            monitor.pathUpdateHandler = { [weak client] path in
                // The monitor also reports the network that it finds at its start.
                guard last.replace(by: path), path.status == .satisfied, let client else { return }
                Task { try? await client.networkChanged() }
            }
            monitor.start(queue: queue)
        }

        deinit {
            monitor.cancel()
        }
    }

    /// The path seen last. It is used only on the monitor's queue.
    private final class Last: @unchecked Sendable {
        private var path: NWPath?

        /// Returns whether there was another one before.
        func replace(by path: NWPath) -> Bool {
            defer { self.path = path }
            return self.path != nil && self.path != path
        }
    }
#endif
