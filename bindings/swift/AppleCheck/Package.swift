// swift-tools-version: 6.0

import PackageDescription

// Type-checks SipWake's Apple side where there is no SDK of Apple's: against stand-ins that have no more of Apple's frameworks than
// that side uses. Nothing of this ships, and nothing of it is run. The Keychain store is not among it: it needs Core Foundation.
let package = Package(
    name: "AppleCheck",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [
        .library(
            name: "AppleStandIns",
            targets: ["SipWakeApple", "AVFAudio", "CallKit", "PushKit", "Network", "UserNotifications"])
    ],
    dependencies: [.package(name: "SipWake", path: "..")],
    targets: [
        .target(name: "AVFAudio"),
        .target(name: "CallKit", dependencies: ["AVFAudio"]),
        .target(name: "PushKit"),
        .target(name: "Network"),
        .target(name: "UserNotifications"),
        .target(
            name: "SipWakeApple",
            dependencies: ["SipWake", "AVFAudio", "CallKit", "PushKit", "Network", "UserNotifications"],
            swiftSettings: [.define("SIPWAKE_STANDINS")]),
    ],
    swiftLanguageModes: [.v6]
)
