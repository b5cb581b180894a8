// swift-tools-version: 6.0

import PackageDescription

// A package of its own, so that apps never see it. `scripts/bench --only swift` runs it.
let package = Package(
    name: "Bench",
    platforms: [.macOS(.v13)],
    dependencies: [.package(name: "SipWake", path: "..")],
    targets: [.executableTarget(name: "Bench", dependencies: ["SipWake"])],
    swiftLanguageModes: [.v6]
)
