// swift-tools-version: 6.0

import PackageDescription

// Type-checks the app where there is no SDK of Apple's: against stand-ins, as bindings/swift/AppleCheck does. Those for SwiftUI take
// more than SwiftUI would: they find a wrong name or type of ours, and not each misuse of a view.
// Nothing of this ships, and nothing of it is run.
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
