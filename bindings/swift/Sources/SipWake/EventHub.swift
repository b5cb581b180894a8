import Foundation

/// Hands the client's events to each reader. It takes them from Rust at once and keeps the latest. A slow reader loses the oldest events
/// and learns how many. No other reader loses any.
final class EventHub: @unchecked Sendable {
    /// The state of one reader. The hub's lock guards it.
    final class Reader: @unchecked Sendable {
        fileprivate var next: UInt64
        fileprivate var cancelled = false

        fileprivate init(next: UInt64) {
            self.next = next
        }
    }

    /// The number of events to keep for later readers and for slow ones.
    static let capacity = 256

    // Guards all fields below, and the readers'.
    private let lock = NSLock()
    private var kept: [SipWakeEvent] = []
    /// The number of `kept[0]`.
    private var first: UInt64 = 0
    private var live: [UUID: CallUpdate] = [:]
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var over = false

    /// The calls that are not over, each in its current state.
    var calls: [CallUpdate] { lock.withLock { Array(live.values) } }

    func publish(_ event: SipWakeEvent) {
        let waiting = lock.withLock {
            if case .call(let update) = event {
                if case .ended = update.change {
                    live[update.id] = nil
                } else {
                    let change = update.change.after(live[update.id]?.change)
                    live[update.id] = CallUpdate(id: update.id, account: update.account, change: change, times: update.times)
                }
            }
            kept.append(event)
            if kept.count > Self.capacity {
                kept.removeFirst()
                first += 1
            }
            return takeWaiting()
        }
        for reader in waiting { reader.resume() }
    }

    /// Ends all readers when they have read the stored events.
    func finish() {
        let waiting = lock.withLock {
            over = true
            return takeWaiting()
        }
        for reader in waiting { reader.resume() }
    }

    /// Returns a reader that begins with up to `count` past events, and the calls that are not over at that moment.
    func reader(replaying count: Int) -> (Reader, [CallUpdate]) {
        lock.withLock {
            (Reader(next: first + UInt64(kept.count - max(0, min(count, kept.count)))), Array(live.values))
        }
    }

    /// Ends a reader at once.
    func cancel(_ reader: Reader) {
        let waiting = lock.withLock {
            reader.cancelled = true
            return takeWaiting()
        }
        for waiter in waiting { waiter.resume() }
    }

    /// Waits for the reader's next event. Nil at its end.
    func next(_ reader: Reader) async -> SipWakeEvent? {
        while true {
            switch step(reader) {
            case .event(let event): return event
            case .end: return nil
            case .wait:
                await withCheckedContinuation { continuation in
                    let ready = lock.withLock {
                        let ready = over || reader.cancelled || reader.next < first + UInt64(kept.count)
                        if !ready { waiting.append(continuation) }
                        return ready
                    }
                    if ready { continuation.resume() }
                }
            }
        }
    }

    private enum Step {
        case event(SipWakeEvent), end, wait
    }

    private func step(_ reader: Reader) -> Step {
        lock.withLock {
            if reader.cancelled { return .end }
            if reader.next < first {
                let lost = first - reader.next
                reader.next = first
                return .event(.eventsLost(count: lost))
            }
            guard reader.next < first + UInt64(kept.count) else { return over ? .end : .wait }
            reader.next += 1
            return .event(kept[Int(reader.next - 1 - first)])
        }
    }

    private func takeWaiting() -> [CheckedContinuation<Void, Never>] {
        defer { waiting = [] }
        return waiting
    }
}

extension EventHub {
    /// The longest time that a push or a log-out keeps the process. iOS gives some 30 seconds.
    private static let longestHold = Duration.seconds(25)

    func stream(_ reader: Reader) -> AsyncStream<SipWakeEvent> {
        AsyncStream {
            await self.next(reader)
        } onCancel: {
            self.cancel(reader)
        }
    }

    /// Returns the calls that are not over, and a stream of all events from that moment on.
    func follow() -> (calls: [CallUpdate], events: AsyncStream<SipWakeEvent>) {
        let (reader, calls) = reader(replaying: 0)
        return (calls, stream(reader))
    }

    /// Keeps the process running until the push's action is under way.
    func hold(_ backgroundTime: (any BackgroundTime)?, for action: PushAction) {
        switch action.kind {
        case .incomingCall, .refreshBinding, .chat:
            hold(backgroundTime, "sipwake push") { action.isSettled(by: $0) }
        case .cancel, .custom, .ignore:
            break
        }
    }

    /// Keeps the process running until an event settles the matter, but not for long. It asks the system in a task of its own, so that
    /// judging a push does not wait for it.
    func hold(
        _ backgroundTime: (any BackgroundTime)?, _ name: String, until settled: @escaping @Sendable (SipWakeEvent) -> Bool
    ) {
        guard let backgroundTime else { return }
        let reader = reader(replaying: 0).0
        Task(priority: .userInitiated) {
            let end = backgroundTime.begin(name)
            let clock = Task {
                try? await Task.sleep(for: Self.longestHold)
                self.cancel(reader)
            }
            while let event = await self.next(reader), !settled(event) {}
            clock.cancel()
            end()
        }
    }
}

extension PushAction {
    /// Whether the push's action is under way without the system's help: a call rings or is over, or a binding is renewed or waits for
    /// the next attempt.
    fileprivate func isSettled(by event: SipWakeEvent) -> Bool {
        switch (kind, event) {
        case (.incomingCall, .call(let update)) where update.id == uuid:
            switch update.change {
            case .ringing, .answerWanted, .connected, .ended: true
            default: false
            }
        // A push without content can still be a call, whose INVITE comes after the REGISTER.
        case (.refreshBinding, .registered), (.refreshBinding, .registrationFailed): problem == nil
        case (.refreshBinding, .call), (.chat, .chatMessage): true
        default: false
        }
    }
}
