import Foundation
import Testing

@testable import SipWake

@Suite struct EnvironmentTests {
    /// An invented profile: a property list between the bytes of a signature.
    private func profile(_ entitlements: String) -> Data {
        Data([0x30, 0x82, 0x2f, 0xff, 0x00])
            + Data(
                """
                <?xml version="1.0" encoding="UTF-8"?>
                <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
                <plist version="1.0"><dict><key>Name</key><string>made up</string>
                <key>Entitlements</key><dict>\(entitlements)</dict></dict></plist>
                """.utf8) + Data([0xff, 0x00, 0x80])
    }

    @Test func aDevelopmentProfileMeansTheSandbox() {
        #expect(Environment.of(profile: profile("<key>aps-environment</key><string>development</string>")) == .sandbox)
        let mac = "<key>com.apple.developer.aps-environment</key><string>development</string>"
        #expect(Environment.of(profile: profile(mac)) == .sandbox)
    }

    @Test func everythingElseMeansProduction() {
        #expect(Environment.of(profile: nil) == .production, "the App Store and TestFlight take the profile away")
        #expect(Environment.of(profile: profile("<key>aps-environment</key><string>production</string>")) == .production)
        #expect(Environment.of(profile: profile("")) == .production)
        for broken in [Data(), Data("<?xml".utf8), Data("<?xml </plist>".utf8), Data("</plist><?xml".utf8), profile("<key>")] {
            #expect(Environment.of(profile: broken) == .production)
        }
    }

    @Test func theMarkerRecognisesAFreshInstallationAndNeverGuesses() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: folder) }
        let run = FirstRun(folder: folder)
        #expect(run.state() == .fresh)
        try run.markKnown()
        #expect(run.state() == .known)
        // A file in the place of the folder, so the answer is unknown.
        guard case .unreadable = FirstRun(folder: folder.appendingPathComponent("sipwake-installed")).state() else {
            Issue.record("an unreadable marker was taken for a fresh installation")
            return
        }
    }
}
