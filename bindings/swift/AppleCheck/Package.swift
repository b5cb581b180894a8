// swift-tools-version: 6.0

import PackageDescription

// SipWake's Apple side without Apple's SDK. It is compiled and run against stand-ins for Apple's frameworks. They have only what that
// side and the sample use, and they are stricter: what a phone would punish or overlook is a violation. They are built as Swift 5,
// without @Sendable on their handlers, as most of Apple's frameworks are, so a handler that wrongly belongs to the main actor traps
// here as it does on a phone. Nothing of this ships.
let played: [SwiftSetting] = [.swiftLanguageMode(.v5)]
let frameworks = [
    "AVFAudio", "BackgroundTasks", "CallKit", "CryptoKit", "LiveCommunicationKit", "PushKit", "Network", "Security", "UserNotifications",
    "UIKit", "dnssd",
]
let dependencies = frameworks.map { Target.Dependency(stringLiteral: $0) }

let package = Package(
    name: "AppleCheck",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(
            name: "AppleStandIns",
            targets: ["SipWakeApple"] + frameworks)
    ],
    dependencies: [.package(name: "SipWake", path: "..")],
    targets: [
        .target(name: "AVFAudio", swiftSettings: played),
        .target(name: "BackgroundTasks", swiftSettings: played),
        .target(name: "CallKit", dependencies: ["AVFAudio"], swiftSettings: played),
        .target(name: "CryptoKit", swiftSettings: played),
        .target(name: "LiveCommunicationKit", dependencies: ["AVFAudio"], swiftSettings: played),
        .target(name: "PushKit", dependencies: ["CallKit"], swiftSettings: played),
        .target(name: "Network", swiftSettings: played),
        .target(name: "Security", swiftSettings: played),
        .target(name: "UserNotifications", swiftSettings: played),
        .target(name: "UIKit", swiftSettings: played),
        .target(name: "dnssd", swiftSettings: played),
        .target(
            name: "SipWakeApple", dependencies: [.product(name: "SipWake", package: "SipWake")] + dependencies,
            swiftSettings: [.define("SIPWAKE_STANDINS")]),
        .testTarget(
            name: "AppleTests",
            dependencies: [
                "SipWakeApple", .product(name: "SipWake", package: "SipWake"), .product(name: "SipWakeTesting", package: "SipWake"),
            ] + dependencies),
    ],
    swiftLanguageModes: [.v6]
)
