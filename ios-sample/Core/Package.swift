// swift-tools-version: 6.0

import PackageDescription

// The sample's logic, for its tests: no UIKit, no SwiftUI, so that they run where there is no SDK of Apple's, too. Xcode does not use
// this package: project.yml compiles the same sources.
let package = Package(
    name: "SampleCore",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "SampleCore", targets: ["SampleCore"])],
    dependencies: [.package(name: "SipWake", path: "../../bindings/swift")],
    targets: [
        .target(name: "SampleCore", dependencies: ["SipWake"]),
        .testTarget(name: "SampleCoreTests", dependencies: ["SampleCore", "SipWake"]),
    ],
    swiftLanguageModes: [.v6]
)
