import AVFAudio
import CallKit
import Foundation
import Network
import PushKit
import SipWake
import SipWakeApple
import Testing
import UIKit
import UserNotifications

extension AppleTests {
    /// The app's bundle with the files that Xcode adds.
    private func bundle(modes: [String], profile: String?) throws -> Bundle {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).app")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let info: [String: Any] = ["CFBundleIdentifier": "com.example.app", "UIBackgroundModes": modes]
        try PropertyListSerialization.data(fromPropertyList: info, format: .xml, options: 0).write(to: folder.appendingPathComponent("Info.plist"))
        if let profile {
            let entitlements = profile.isEmpty ? [:] : ["aps-environment": profile]
            try PropertyListSerialization.data(fromPropertyList: ["Entitlements": entitlements], format: .xml, options: 0)
                .write(to: folder.appendingPathComponent("embedded.mobileprovision"))
        }
        return try #require(Bundle(path: folder.path))
    }

    @Test func aPhoneThatCanRingHasNoObstacle() async throws {
        let device = try await Device()
        let app = try bundle(modes: ["voip"], profile: nil)
        let state = await PhoneState.ofThisPhone(calls: device.calls, pushes: device.pushes, environment: .production, bundle: app)
        #expect(state == PhoneState(network: .wiFi))
        device.end()
    }

    @Test func disabledAndMissingSettingsAreReported() async throws {
        let device = try await Device()
        let center = UNUserNotificationCenter.current()
        center.set(UNNotificationSettings(.denied, sound: .disabled))
        UIApplication.shared.backgroundRefreshStatus = .denied
        ProcessInfo.isPlayedLowPower = true
        AVAudioSession.played.recordPermission = .denied
        NWPathMonitor.played = NWPath(.unsatisfied, because: .localNetworkDenied)
        defer {
            center.set(UNNotificationSettings(.authorized, sound: .enabled))
            UIApplication.shared.backgroundRefreshStatus = .available
            ProcessInfo.isPlayedLowPower = false
            AVAudioSession.played.recordPermission = .granted
            NWPathMonitor.played = NWPath(.satisfied, by: .wifi)
        }
        let unsigned = try bundle(modes: [], profile: "")
        let state = await PhoneState.ofThisPhone(calls: device.calls, pushes: device.pushes, environment: .sandbox, bundle: unsigned)
        #expect(
            state.obstacles == [
                .notEntitled, .noPushEntitlement, .wrongPushEnvironment, .notificationsOff, .noMicrophone, .noLocalNetwork,
                .backgroundRefreshOff, .lowPower,
            ])
        #expect(state.network == PhoneNetwork.none)

        center.set(UNNotificationSettings(.authorized, sound: .disabled))
        let quiet = await PhoneState.ofThisPhone(bundle: try bundle(modes: ["voip"], profile: "development"))
        #expect(quiet.obstacles.contains(.notificationsSilent) && !quiet.obstacles.contains(.notificationsOff))
        let report = try await device.client.report(state)
        #expect(report.contains("\"no-push-entitlement\"") && report.contains("\"wrong-push-environment\""))
        device.end()
    }

    @Test func theReasonThatCallKitShowedNoCallIsAnObstacleUntilItShowsOne() async throws {
        let app = try bundle(modes: ["voip"], profile: nil)
        for (code, obstacle) in [
            (CXErrorCodeIncomingCallError.Code.filteredByDoNotDisturb, Obstacle.doNotDisturb), (.filteredByBlockList, .callerBlocked),
            (.unentitled, .notEntitled),
        ] {
            let device = try await Device()
            device.callKit.refuse(code)
            _ = try device.pushedCall()
            try await device.until("told") { device.calls.obstacles == [obstacle] }
            #expect(await PhoneState.ofThisPhone(calls: device.calls, bundle: app).obstacles == [obstacle])
            device.callKit.refuse(nil)
            try device.deliver(["ntype": "0", "nfrom": "5678", "ntouser": "alice", "ncallid": "another@example.com"], mustReport: true)
            try await device.until("shown") { device.calls.obstacles == [] }
            #expect(await PhoneState.ofThisPhone(calls: device.calls, pushes: device.pushes, bundle: app).mustReport == true)
            device.end()
        }
    }
}
