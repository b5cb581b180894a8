// swift-tools-version: 6.0

import PackageDescription

// A separate package, so that apps never see it. `scripts/bench --only swift` runs it.
let package = Package(
    name: "Bench",
    platforms: [.macOS(.v13)],
    dependencies: [.package(name: "SipWake", path: ".."), .package(name: "AppleCheck", path: "../AppleCheck")],
    targets: [
        .executableTarget(name: "Bench", dependencies: ["SipWake", .product(name: "AppleStandIns", package: "AppleCheck")]),
        .executableTarget(
            name: "Extension",
            dependencies: [
                "SipWake", .product(name: "SipWakeTesting", package: "SipWake"), .product(name: "AppleStandIns", package: "AppleCheck"),
            ]),
    ],
    swiftLanguageModes: [.v6]
)
