import Foundation
import SipWake
import Testing

private var call: [AnyHashable: Any] {
    ["ntype": "0", "nfrom": "1234", "nfromusername": "John", "ntouser": "alice", "ncallid": "c1@example.com"]
}

@Suite struct PayloadTests {
    @Test func aVoIPPushIsACall() {
        let action = readPush(call, channel: .pushKit)
        #expect(action.kind == .incomingCall(video: false))
        #expect(action.duty == .reportCall)
        #expect(action.callerLabel == "John")
        #expect(action.account == "alice")
        #expect((.seconds(39) ... .seconds(40)).contains(action.timeLeft ?? .zero))
    }

    @Test func aNumberAndItsTextAreReadTheSame() {
        for zero: Any in [0, NSNumber(value: 0), "0", UInt8(0)] {
            let numbers = call.merging(["ntype": zero, "nfrom": NSNumber(value: 1234)]) { $1 }
            let action = readPush(numbers, channel: .pushKit)
            #expect(action.kind == .incomingCall(video: false), "\(type(of: zero))")
            #expect(action.caller == "1234")
            #expect(action.uuid == readPush(call, channel: .pushKit).uuid)
        }
    }

    @Test func aCancelIsReportedAndEnded() {
        let cancel = readPush(call.merging(["ntype": 2]) { $1 }, channel: .pushKit)
        #expect(cancel.kind == .cancel)
        #expect(cancel.duty == .reportThenEnd)
        #expect(cancel.uuid == readPush(call, channel: .pushKit).uuid)
    }

    @Test func everyPayloadOfThePlatformGivesAnAction() {
        var garbage = Data((0..<4096).map { _ in UInt8.random(in: 0...255) })
        garbage[0] = 0xff
        let unknown = readPush(json: garbage, channel: .pushKit)
        #expect(unknown.kind == .incomingCall(video: false))
        #expect(unknown.duty == .reportCall)
        #expect(unknown.callerLabel == nil)
        #expect(unknown.problem == .unreadable)
        #expect(readPush(json: garbage, channel: .apnsAlert).duty == .nothing)

        var deep: [AnyHashable: Any] = call
        for _ in 0..<600 { deep = ["aps": deep] }
        let odd: [[AnyHashable: Any]] = [
            [:], ["aps": [:] as [String: Any]], ["data": NSNull()], [1: 2], ["ntype": Date()], ["ntype": Double.nan],
            ["ntype": Data([0])], ["aps": ["alert": [1, "x", NSNull(), Double.infinity] as [Any]]], deep,
        ]
        for payload in odd {
            let action = readPush(payload, channel: .pushKit)
            #expect(action.duty == .reportCall || action.duty == .reportThenEnd, "\(action)")
        }
    }

    @Test func aDescriptionShowsNoText() {
        let chat = readPush(call.merging(["ntype": "1", "nmsg": "my secret"]) { $1 }, channel: .pushKit)
        #expect(chat.kind == .chat(mimeType: nil))
        #expect(chat.text == "my secret")
        var dumped = ""
        dump(chat, to: &dumped)
        #expect(!"\(chat) \(dumped)".contains("my secret"))
    }

    @Test func howLongAPayloadTakes() {
        for _ in 0..<1000 { _ = readPush(call, channel: .pushKit) }
        let started = Date()
        for _ in 0..<2000 { _ = readPush(call, channel: .pushKit) }
        print(String(format: "payload to action: %.1f µs (debug build)", Date().timeIntervalSince(started) / 2000 * 1e6))
    }

    @Test func tagsForAnotherSIPStackHoldTheTokenAndTheirDescriptionHidesIt() throws {
        let companion = try TagsCompanion(PushConfig(provider: .other(name: "acme"), package: "app"))
        let tags = try companion.tags(.token(token: "c:1", alert: nil))
        #expect(tags.uriParamsText == ";pn-provider=acme;pn-param=app;pn-prid=c:1")
        #expect(!"\(tags)\(tags.headers)".contains("pn-prid=c:1"))
        #expect(try companion.tags(.token(token: "null", alert: nil)).headers.isEmpty)
        let caps = [(name: "Feature-Caps", value: "*;+sip.pns=\"acme\"")]
        #expect(try companion.verdict(status: 200, headers: caps).standing == .confirmed)
        #expect(try companion.verdict(status: 555, headers: []).standing == .refused)
    }
}
