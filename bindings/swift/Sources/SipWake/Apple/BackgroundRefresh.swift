#if SIPWAKE_STANDINS || (canImport(BackgroundTasks) && (os(iOS) || os(visionOS)))
    import BackgroundTasks
    import Foundation
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Has iOS start the app now and then, in the background, so that bindings are renewed and log-outs delivered that found no server. iOS
    /// decides when that is, and whether at all. Pushes are what wakes a phone.
    ///
    /// Make it before the app's launch returns. Put its identifier into Info.plist under `BGTaskSchedulerPermittedIdentifiers`, and switch
    /// the background mode `fetch` on.
    @MainActor
    public final class BackgroundRefresh {
        /// Whose bindings are renewed. Set it when somebody logs in or out.
        public var accounts: [AccountID]

        private let client: SipWakeClient
        private let identifier: String
        private let interval: Duration

        /// - Parameters:
        ///   - accounts: who is logged in.
        ///   - identifier: the task's name.
        ///   - interval: how long iOS is to wait at the least; a quarter of a day if left out.
        public init(_ client: SipWakeClient, accounts: [AccountID], identifier: String, every interval: Duration = .seconds(21_600)) {
            self.client = client
            self.accounts = accounts
            self.identifier = identifier
            self.interval = interval
            let registered = BGTaskScheduler.shared.register(forTaskWithIdentifier: identifier, using: .main) { @Sendable [weak self] task in
                nonisolated(unsafe) let task = task
                MainActor.assumeIsolated { if let self { self.run(task) } else { task.setTaskCompleted(success: false) } }
            }
            if !registered {
                let reason = "Info.plist does not permit \(identifier)"
                client.note(Failure(domain: "BackgroundTasks", doing: "register the refresh", reason: reason))
            }
            schedule()
        }

        private func schedule() {
            let request = BGAppRefreshTaskRequest(identifier: identifier)
            request.earliestBeginDate = Date() + interval.timeInterval
            do { try BGTaskScheduler.shared.submit(request) } catch {
                client.note(Failure(domain: "BackgroundTasks", doing: "ask for the next refresh", error))
            }
        }

        private func run(_ task: BGTask) {
            schedule()
            let events = client.events(replaying: 0)
            let work = Task { [client, accounts] in
                var waiting = Set<AccountID>()
                var failed = false
                for account in accounts {
                    do {
                        try await client.register(account)
                        waiting.insert(account)
                    } catch {
                        failed = true
                        if !(error is CancellationError) {
                            client.note(Failure(domain: "sipwake", doing: "renew a binding", error))
                        }
                    }
                }
                if !waiting.isEmpty || client.pendingLogOuts > 0 {
                    for await event in events {
                        switch event {
                        case .registered(let account, _): waiting.remove(account)
                        case .registrationFailed(let account, _): failed = waiting.remove(account) != nil || failed
                        default: break
                        }
                        if waiting.isEmpty, client.pendingLogOuts == 0 { break }
                    }
                }
                task.setTaskCompleted(success: !failed && waiting.isEmpty && client.pendingLogOuts == 0)
            }
            // Ends the stream of events, and with it the task.
            task.expirationHandler = { @Sendable in work.cancel() }
        }
    }
#endif
