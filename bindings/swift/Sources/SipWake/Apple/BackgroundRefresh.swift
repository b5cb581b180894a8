#if SIPWAKE_STANDINS || (canImport(BackgroundTasks) && (os(iOS) || os(visionOS)))
    import BackgroundTasks
    import Foundation
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Asks iOS to start the app in the background now and then, to renew bindings and to deliver log-outs that reached no server. iOS
    /// decides when that is, and whether at all. Pushes are what wakes a phone.
    ///
    /// Create it before the app's launch returns. Put its identifier into Info.plist under `BGTaskSchedulerPermittedIdentifiers`, and
    /// switch on the background mode `fetch`.
    @MainActor
    public final class BackgroundRefresh {
        /// The accounts whose bindings are renewed. Set it when somebody logs in or out.
        public var accounts: [AccountID]

        private let client: any Refreshed
        private let identifier: String
        private let interval: Duration

        /// - Parameters:
        ///   - accounts: the accounts of the logged-in users.
        ///   - identifier: the task's name.
        ///   - interval: how long iOS waits at least. The default is a quarter of a day.
        public convenience init(
            _ client: SipWakeClient, accounts: [AccountID], identifier: String, every interval: Duration = .seconds(21_600)
        ) {
            self.init(of: client, accounts, identifier, interval)
        }

        /// The same for a companion. The stack beside it registers, and delivers the pending log-outs.
        public convenience init(
            _ companion: SipWakeCompanion, accounts: [AccountID], identifier: String, every interval: Duration = .seconds(21_600)
        ) {
            self.init(of: companion, accounts, identifier, interval)
        }

        private init(of client: any Refreshed, _ accounts: [AccountID], _ identifier: String, _ interval: Duration) {
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
                        try await client.renew(account)
                        waiting.insert(account)
                    } catch {
                        failed = true
                        if !(error is CancellationError) {
                            client.note(Failure(domain: "sipwake", doing: "renew a binding", error))
                        }
                    }
                }
                client.deliverLogOuts()
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
            // Ends the stream of events, and so the task.
            task.expirationHandler = { @Sendable in work.cancel() }
        }
    }

    /// Renews bindings: a client, or a companion.
    private protocol Refreshed: AnyObject, Sendable {
        var pendingLogOuts: Int { get }
        func renew(_ account: AccountID) async throws
        func deliverLogOuts()
        func events(replaying count: Int) -> AsyncStream<SipWakeEvent>
        func note(_ failure: Failure)
    }

    extension SipWakeClient: Refreshed {
        fileprivate func renew(_ account: AccountID) async throws {
            try await register(account)
        }

        /// The client delivers them by itself.
        fileprivate func deliverLogOuts() {}
    }

    extension SipWakeCompanion: Refreshed {
        fileprivate var pendingLogOuts: Int { (try? pending().count) ?? 0 }

        fileprivate func renew(_ account: AccountID) async throws {
            try register(account)
        }

        fileprivate func deliverLogOuts() {
            for pending in (try? pending()) ?? [] { try? register(pending.account) }
        }
    }
#endif
