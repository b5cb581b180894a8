import Foundation
import Testing

@testable import SipWake

@Suite struct HubTests {
    private func event(_ number: Int) -> SipWakeEvent { .other(description: "\(number)") }

    @Test func eachReaderSeesAllEventsAndALateOneTheLatest() async {
        let hub = EventHub()
        let (early, _) = hub.reader(replaying: .max)
        for number in 1...3 { hub.publish(event(number)) }
        let (late, _) = hub.reader(replaying: 1)
        hub.finish()
        var seen: [SipWakeEvent] = []
        while let next = await hub.next(early) { seen.append(next) }
        #expect(seen == [event(1), event(2), event(3)])
        #expect(await hub.next(late) == event(3))
        #expect(await hub.next(late) == nil)
    }

    @Test func aSlowReaderLearnsHowManyEventsItMissed() async {
        let hub = EventHub()
        let (reader, _) = hub.reader(replaying: 0)
        for number in 0..<EventHub.capacity + 5 { hub.publish(event(number)) }
        #expect(await hub.next(reader) == .eventsLost(count: 5))
        #expect(await hub.next(reader) == event(5))
    }

    @Test func aWaitingReaderGetsTheNextEventAndACancelledOneNone() async {
        let hub = EventHub()
        let (first, _) = hub.reader(replaying: 0)
        let (second, _) = hub.reader(replaying: 0)
        async let waited = hub.next(first)
        async let ended = hub.next(second)
        hub.cancel(second)
        hub.publish(event(1))
        #expect(await waited == event(1))
        #expect(await ended == nil)
    }

    @Test func liveCallsAreKept() {
        let hub = EventHub()
        let times = CallTimes(announced: nil, ringing: nil, answered: nil, connected: nil, ended: nil, talked: nil)
        func call(_ id: UUID, _ change: CallChange) -> SipWakeEvent {
            .call(CallUpdate(id: id, account: nil, change: change, times: times))
        }
        let (over, rings) = (UUID(), UUID())
        for id in [over, rings] { hub.publish(call(id, .announced(caller: Caller(uri: "1")))) }
        hub.publish(call(over, .ended(reason: .cancelled, status: nil)))
        #expect(hub.calls.map(\.id) == [rings])
        #expect(hub.reader(replaying: 0).1.map(\.id) == [rings])
        hub.publish(call(rings, .answerWanted(caller: Caller(uri: "1"), offer: nil)))
        hub.publish(call(rings, .callerChanged(caller: Caller(uri: "2"))))
        #expect(hub.calls.map(\.change) == [.answerWanted(caller: Caller(uri: "2"), offer: nil)])
    }
}
