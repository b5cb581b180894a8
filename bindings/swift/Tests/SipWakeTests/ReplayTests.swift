import Foundation
import SipWake
import SipWakeTesting
import Testing

/// An app's recording, replayed by the command line. Its program is in the same folder as the mock gateway.
@Suite struct ReplayTests {
    /// The exit code of `sipwake replay` and its output: JSON if it could read the file, or else the reason.
    private func replay(_ recording: String) throws -> (code: Int32, said: Data) {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("session.sipreplay")
        try recording.write(to: file, atomically: true, encoding: .utf8)
        let mock = try #require(ProcessInfo.processInfo.environment["SIPWAKE_TESTING_MOCK"])
        let (process, output) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: mock).deletingLastPathComponent().appendingPathComponent("sipwake")
        process.arguments = ["replay", "--json", file.path]
        (process.standardOutput, process.standardError) = (output, output)
        try process.run()
        let said = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, said)
    }

    private struct Played: Decodable {
        struct Decision: Decodable {
            let name: String
        }
        let same: Bool
        let full: Bool
        let difference: String?
        let messages: Int
        let decisions: [Decision]
    }

    private func options(_ userAgreed: Bool) -> ClientOptions {
        // begin record
        ClientOptions(recordForReplay: userAgreed ? 1 << 20 : nil)  // at most 1 MiB
        // end record
    }

    @Test func aRecordedCallIsPlayedAgainToTheSameDecisionsAndBytes() async throws {
        let gateway = try MockGateway()
        let app = try App(store: MemoryStore(), setup: alice(gateway), options: options(true))
        let recording = try #require(try await life(gateway, app))
        for secret in ["wonderland", firstToken] { #expect(!recording.lowercased().contains(secret), "\(recording)") }
        let (code, said) = try replay(recording)
        #expect(code == 0, "\(String(decoding: said, as: UTF8.self))")
        let played = try JSONDecoder().decode(Played.self, from: said)
        #expect(played.same && !played.full && played.difference == nil)
        // Two REGISTERs, each after a push or a start; 180 and 200 to the INVITE; a BYE.
        #expect(played.messages >= 5)
        let decided = Set(played.decisions.map(\.name))
        #expect(decided.isSuperset(of: ["registered", "push-judged", "ringing", "connected"]), "\(decided)")
        // The replay compares both the messages and the decisions in the file.
        #expect(try replay(recording.replacingOccurrences(of: "180 Ringing", with: "182 Queued")).code == 2)
        #expect(try replay(recording.replacingOccurrences(of: #""code":506"#, with: #""code":504"#)).code == 2)
        let torn = try replay(recording.components(separatedBy: "\n{\"end\"")[0])
        #expect(torn.code == 1 && String(decoding: torn.said, as: UTF8.self).contains("send the whole file"))
    }

    /// Registers, wakes for a call, answers and hangs up.
    private func life(_ gateway: MockGateway, _ app: App) async throws -> String? {
        let client = app.client
        try await client.setToken(firstToken, for: app.account)
        try await client.register(app.account)
        _ = try await app.registration()
        try gateway.sleep()
        let placed = try gateway.placeCall()
        _ = client.push(try gateway.nextPush(), channel: .pushKit)
        let call = try await app.next { event -> UUID? in
            if case .call(let call) = event, case .ringing = call.change { call.id } else { nil }
        }
        try await client.answer(call)
        _ = try await app.next { if case .call(let call) = $0, case .answerWanted = call.change { true } else { nil } }
        try await client.accept(call, with: SessionDescription(sdp: "v=0\r\n"))
        _ = try await app.next { if case .call(let call) = $0, case .connected = call.change { true } else { nil } }
        try await client.hangUp(call)
        _ = try await app.next { if case .call(let call) = $0, case .ended = call.change { true } else { nil } }
        try await gateway.sees(placed, "hung_up_by_callee")
        // begin recording
        let recording: String? = try await client.recording()
        // end recording
        return recording
    }

    @Test func nothingIsRecordedUnlessTheAppAsksForIt() async throws {
        let client = try SipWakeClient(store: MemoryStore(), accounts: [alice()], options: options(false))
        #expect(try await client.recording() == nil)
    }

    @Test func eventsAfterTheLimitAreMissingAndTheReplaySaysSo() async throws {
        let app = try App(store: MemoryStore(), setup: alice(), options: ClientOptions(recordForReplay: 1))
        try await app.client.setToken(firstToken, for: app.account)
        let (code, said) = try replay(try #require(try await app.client.recording()))
        #expect(code == 0, "\(String(decoding: said, as: UTF8.self))")
        #expect(try JSONDecoder().decode(Played.self, from: said).full)
    }

    @Test(arguments: [0, -1, Int.max]) func anInvalidLimitIsRefusedWithItsName(cap: Int) {
        let refused = SipWakeError.invalidField(name: "options.record_for_replay", reason: "must be between 1 and 33554432")
        #expect(throws: refused) { try SipWakeClient(store: MemoryStore(), options: ClientOptions(recordForReplay: cap)) }
    }

    @Test func afterTheEndThereIsNoRecording() async throws {
        let client = try SipWakeClient(store: MemoryStore(), options: options(true))
        client.shutdown()
        do {
            _ = try await client.recording()
            Issue.record("a recording after the end")
        } catch SipWakeError.shutDown {}
    }
}
