// swift-tools-version: 6.0

import PackageDescription

// A package of its own, so that apps never see it. `scripts/bench --only swift` runs it.
let package = Package(
    name: "Bench",
    platforms: [.macOS(.v13)],
    dependencies: [.package(name: "SipWake", path: ".."), .package(name: "AppleCheck", path: "../AppleCheck")],
    targets: [
        .executableTarget(name: "Bench", dependencies: ["SipWake", .product(name: "AppleStandIns", package: "AppleCheck")])
    ],
    swiftLanguageModes: [.v6]
)
