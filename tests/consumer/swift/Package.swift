// swift-tools-version: 6.0

import Foundation
import PackageDescription

// A user's project: it knows a git URL and a version. scripts/test --only ios-package copies it to a folder outside the tree and gives it
// the path of the repository that a release would fill.
let repository = ProcessInfo.processInfo.environment["SIPWAKE_SWIFT_REPOSITORY"] ?? "https://github.com/sipwake/sipwake-swift"

let package = Package(
    name: "Phone",
    platforms: [.iOS(.v16), .macOS(.v13)],
    dependencies: [.package(url: repository, from: "0.1.0")],
    targets: [.executableTarget(name: "Phone", dependencies: [.product(name: "SipWake", package: "sipwake-swift")])]
)
