// The code that docs/swift.md shows, between `begin` and `end`. It is compiled and run with the fake frameworks, and a test compares the two.

// begin app
import AVFAudio
import SipWake
import UIKit
import UserNotifications

@MainActor
final class AppDelegate: NSObject, UIApplicationDelegate {
    let media = Engine()
    private(set) var phone: Phone?

    func application(
        _ application: UIApplication, didFinishLaunchingWithOptions options: [UIApplication.LaunchOptionsKey: Any]? = nil
    ) -> Bool {
        // Create it before this function returns: the push that started the app comes next.
        do { phone = try Phone(savedAccounts(), savedState(), media) } catch { show("\(error)") }
        Task { await askForNotifications() }
        return true
    }

    private func askForNotifications() async {
        let granted = try? await UNUserNotificationCenter.current().requestAuthorization(options: [.alert, .sound])
        if granted == true { UIApplication.shared.registerForRemoteNotifications() }
    }

    func application(_ application: UIApplication, didRegisterForRemoteNotificationsWithDeviceToken token: Data) {
        phone?.pushes.alertToken(token)
    }

    func applicationProtectedDataDidBecomeAvailable(_ application: UIApplication) {
        Task { try await phone?.client.storeAvailable() }
    }
}

@MainActor
final class Phone {
    let client: SipWakeClient
    let calls: CallKitBridge
    let pushes: PushKitBridge
    private let network: NetworkWatch

    init(_ accounts: [AccountSetup], _ store: any StateStore, _ media: Engine) throws {
        client = try SipWakeClient(store: store, accounts: accounts, options: ClientOptions(backgroundTime: UIKitBackgroundTime()))
        calls = CallKitBridge(client, media: media)
        pushes = PushKitBridge(client, calls: calls, accounts: try accounts.map { try $0.account.id() })
        network = NetworkWatch(client)
        calls.configureAudio = { try AVAudioSession.sharedInstance().setCategory(.playAndRecord, mode: .voiceChat) }
        calls.audioSessionChanged = { _, active in media.audio(active) }
        Task { [client, ids = pushes.accounts] in
            for account in ids { try await client.register(account) }
        }
        Task { [events = client.events()] in
            for await event in events {
                switch event {
                case .registered(_, let registration): show("push: \(registration.verdict.reason)")
                case .registrationFailed(_, let failure): show(failure.reason)
                case .failed(let failure): show("\(failure.domain): \(failure.reason)")
                default: break
                }
            }
        }
    }
}
// end app

@testable import SipWakeApple
import CallKit
import Foundation
import PushKit
import SipWakeTesting
import Testing

/// The app's own media engine.
@MainActor
final class Engine: CallMedia {
    private(set) var connected: [UUID] = []
    private(set) var audible: [Bool] = []

    func answer(_ call: UUID, to offer: SessionDescription?) async throws -> SessionDescription { SessionDescription(sdp: "v=0 ours") }
    func connected(_ call: UUID, answer: SessionDescription?) { connected.append(call) }
    func ended(_ call: UUID, _ reason: EndReason) {}
    func audio(_ active: Bool) { audible.append(active) }
}

@MainActor private var saved: [AccountSetup] = []
@MainActor private let state = MemoryStore()
@MainActor private var told: [String] = []
@MainActor private func savedAccounts() -> [AccountSetup] { saved }
@MainActor private func savedState() -> any StateStore { state }
@MainActor private func show(_ text: String) { told.append(text) }

@MainActor
struct GuideRun {
    static func guideLines() throws -> (lines: Int, shown: Bool) {
        let here = URL(fileURLWithPath: #filePath)
        let lines = try String(contentsOf: here, encoding: .utf8).components(separatedBy: "\n")
        let begin = try #require(lines.firstIndex(of: "// begin app")) + 1
        let end = try #require(lines.firstIndex(of: "// end app"))
        let app = lines[begin..<end]
        let page = here.appendingPathComponent("../../../../../../docs/swift.md").standardized
        let shown = try String(contentsOf: page, encoding: .utf8).contains("```swift\n\(app.joined(separator: "\n"))\n```")
        return (app.filter { !$0.trimmingCharacters(in: .whitespaces).isEmpty }.count, shown)
    }

    /// Starts the guide's app as iOS does, and wakes it for a call that is answered.
    static func run() async throws {
        PlayedCallKit.shared.reset()
        let gateway = try MockGateway()
        saved = [alice(gateway)]
        let app = AppDelegate()
        #expect(app.application(UIApplication.shared))
        let phone = try #require(app.phone, "\(told)")
        PKPushRegistry.played?.give(Data(repeating: 0xa1, count: 32))
        app.application(UIApplication.shared, didRegisterForRemoteNotificationsWithDeviceToken: Data(repeating: 0xc3, count: 32))
        func until(_ what: String, _ holds: () throws -> Bool) async throws {
            for _ in 0..<6_000 where try !holds() { try await Task.sleep(for: .milliseconds(10)) }
            try #require(try holds(), "never \(what): \(told), \(PlayedCallKit.shared.violations)")
        }
        try await until("bound") { try gateway.tokens() == [firstToken] }
        try gateway.ask("sleep", ["user": "alice"])
        let call = try gateway.placeCall()
        #expect(try #require(PKPushRegistry.played).deliver(try gateway.nextPush()).reported)
        let uuid = try #require(PlayedCallKit.shared.reports.last)
        _ = PlayedCallKit.shared.userAnswers(uuid)
        try await until("connected") { app.media.connected == [uuid] && app.media.audible == [true] }
        try await Task.detached { try gateway.waitCall(call, "answered") }.value
        _ = PlayedCallKit.shared.userEnds(uuid)
        try await until("silent") { app.media.audible == [true, false] }
        try await until("told") { told.contains { $0.hasPrefix("push: ") } }
        phone.calls.invalidate()
        phone.client.shutdown()
        #expect(PlayedCallKit.shared.violations == [])
    }
}
