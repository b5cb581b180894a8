// swift-tools-version: 6.0

import PackageDescription

// SipWake's Apple side where there is no SDK of Apple's: compiled and run against played frameworks that have no more of Apple's than
// that side and the sample use, and that are stricter than Apple's: what a phone would punish or overlook is a violation. They are
// built as Swift 5, without @Sendable on their handlers, as most of Apple's frameworks are: a handler that wrongly belongs to the main
// actor then traps here as it does on a phone. Nothing of this ships. The Keychain store is not among it: it needs Core Foundation.
let played: [SwiftSetting] = [.swiftLanguageMode(.v5)]
let frameworks: [Target.Dependency] = ["AVFAudio", "BackgroundTasks", "CallKit", "PushKit", "Network", "UserNotifications", "UIKit"]

let package = Package(
    name: "AppleCheck",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(
            name: "AppleStandIns",
            targets: ["SipWakeApple", "AVFAudio", "BackgroundTasks", "CallKit", "PushKit", "Network", "UserNotifications", "UIKit"])
    ],
    dependencies: [.package(name: "SipWake", path: "..")],
    targets: [
        .target(name: "AVFAudio", swiftSettings: played),
        .target(name: "BackgroundTasks", swiftSettings: played),
        .target(name: "CallKit", dependencies: ["AVFAudio"], swiftSettings: played),
        .target(name: "PushKit", dependencies: ["CallKit"], swiftSettings: played),
        .target(name: "Network", swiftSettings: played),
        .target(name: "UserNotifications", swiftSettings: played),
        .target(name: "UIKit", swiftSettings: played),
        .target(
            name: "SipWakeApple", dependencies: [.product(name: "SipWake", package: "SipWake")] + frameworks,
            swiftSettings: [.define("SIPWAKE_STANDINS")]),
        .testTarget(
            name: "AppleTests", dependencies: ["SipWakeApple", .product(name: "SipWake", package: "SipWake")] + frameworks),
    ],
    swiftLanguageModes: [.v6]
)
