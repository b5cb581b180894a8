import Foundation
import SipWake
import SipWakeApple
import Testing
import dnssd

extension AppleTests {
    @Suite struct ResolverTests {
        private let dns = PlayedDNS.shared

        init() { dns.reset() }

        private func name(_ labels: String...) -> Data {
            var name = Data()
            for label in labels { name += text(label) }
            return name + Data([0])
        }

        private func text(_ text: String) -> Data {
            var data = Data([UInt8(text.utf8.count)])
            data += Data(text.utf8)
            return data
        }

        @Test func allServiceRecordsAreRead() throws {
            let first = Data([0, 10, 0, 5, 0x13, 0xc5]) + name("sip1", "example", "com")
            let none = Data([0, 20, 0, 0, 0, 0]) + name()
            dns.answer("_sips._tcp.example.com", 33, [.record(type: 5, name("alias", "example", "com")), .record(type: 33, first), .record(type: 33, none)])
            let found = try SystemResolver().srv("_sips._tcp.example.com")
            #expect(found == [
                SRVRecord(priority: 10, weight: 5, port: 5061, target: "sip1.example.com."),
                SRVRecord(priority: 20, weight: 0, port: 0, target: "."),
            ])
            #expect(try SystemResolver().srv("_sips._tcp.example.com.") == found, "with its last dot")
            #expect(dns.violations == [])
        }

        @Test func namingAuthorityPointersAreRead() throws {
            let record = Data([0, 1, 0, 2]) + text("s") + text("SIPS+D2T") + text("") + name("_sips", "_tcp", "example", "com")
            dns.answer("example.com", 35, [.record(type: 35, record)])
            #expect(try SystemResolver().naptr("example.com") == [
                NAPTRRecord(order: 1, preference: 2, flags: "s", service: "SIPS+D2T", replacement: "_sips._tcp.example.com.")
            ])
            #expect(dns.violations == [])
        }

        @Test func withoutARecordTheAnswerIsEmptyAndComesAtOnce() throws {
            dns.answer("_sip._udp.example.com", 33, [.error(-65554)])
            #expect(try SystemResolver().srv("_sip._udp.example.com") == [])
            #expect(dns.violations == [])
        }

        @Test func aServerThatNeverAnswersIsGivenUpAfterSomeSeconds() throws {
            #expect(try SystemResolver().srv("_sip._udp.silent.example") == [])
            #expect(dns.violations == [])
        }

        @Test(arguments: [
            Data(), Data([0]), Data([0, 1, 0, 1, 0]), Data([0, 1, 0, 1, 0, 1]), Data([0, 1, 0, 1, 0, 1, 4, 0x61]),
            Data([0, 1, 0, 1, 0, 1, 3, 0x61, 0x2e, 0x62, 0]), Data([0, 1, 0, 1, 0, 1, 1, 0xff, 0]), Data([0, 1, 0, 1, 0, 1, 0xc0, 0x0c]),
        ])
        func whatIsNoRecordIsLeftOut(data: Data) throws {
            let good = Data([0, 10, 0, 5, 0x13, 0xc5]) + name("sip1")
            dns.answer("_sip._udp.example.com", 33, [.record(type: 33, data), .record(type: 33, good)])
            #expect(try SystemResolver().srv("_sip._udp.example.com").map(\.target) == ["sip1."])
            #expect(dns.violations == [])
        }

        @Test func aNameThatCannotBeAskedForIsAnErrorWithItsCode() throws {
            #expect(throws: DNSError(code: -65540)) { try SystemResolver().srv(String(repeating: "a.", count: 600)) }
            #expect(dns.violations == [])
        }
    }
}
