// swift-tools-version: 6.0

import PackageDescription

// The sample's logic: no UIKit, no SwiftUI, so that its tests run where there is no SDK of Apple's, too.
// SIPWAKE_PACKAGE names the folder of a released SDK, to be used in place of the one in this repository.
let sipwake = Context.environment["SIPWAKE_PACKAGE"] ?? "../../bindings/swift"

let package = Package(
    name: "SampleCore",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "SampleCore", targets: ["SampleCore"])],
    dependencies: [.package(name: "SipWake", path: sipwake)],
    targets: [
        .target(name: "SampleCore", dependencies: ["SipWake"]),
        .testTarget(name: "SampleCoreTests", dependencies: ["SampleCore", "SipWake", .product(name: "SipWakeTesting", package: "SipWake")]),
    ],
    swiftLanguageModes: [.v6]
)
