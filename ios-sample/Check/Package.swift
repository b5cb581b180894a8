// swift-tools-version: 6.0

import PackageDescription

// Type-checks the app without an Apple SDK, against stubs, as bindings/swift/AppleCheck does. The stubs for SwiftUI accept more than
// SwiftUI does: they find our wrong names and types, and not each misuse of a view.
// None of this is shipped or run.
let package = Package(
    name: "Check",
    platforms: [.iOS(.v16), .macOS(.v13)],
    dependencies: [
        .package(name: "SipWake", path: "../../bindings/swift"),
        .package(name: "AppleCheck", path: "../../bindings/swift/AppleCheck"),
        .package(name: "SampleCore", path: "../Core"),
    ],
    targets: [
        .target(name: "SwiftUI", dependencies: [.product(name: "AppleStandIns", package: "AppleCheck")]),
        .target(name: "StandIns", dependencies: ["SipWake", .product(name: "AppleStandIns", package: "AppleCheck")]),
        .target(
            name: "SampleApp", dependencies: ["SampleCore", "SipWake", "StandIns", "SwiftUI"]),
        .target(name: "SampleExtension", dependencies: ["SampleCore", "SipWake", "StandIns"]),
    ],
    swiftLanguageModes: [.v6]
)
