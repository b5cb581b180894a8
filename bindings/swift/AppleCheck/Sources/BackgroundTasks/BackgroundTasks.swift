import Foundation

public class BGTask: NSObject {
    public var expirationHandler: (() -> Void)?
    /// The app's result at the end. A second result is a violation.
    public private(set) var completions: [Bool] = []
    public func setTaskCompleted(success: Bool) {
        completions.append(success)
        if completions.count > 1 { BGTaskScheduler.shared.violations.append("a task was finished twice") }
    }
}

public class BGAppRefreshTask: BGTask {}

public class BGTaskRequest: NSObject {
    public let identifier: String
    public var earliestBeginDate: Date?
    init(named identifier: String) { self.identifier = identifier }
}

public class BGAppRefreshTaskRequest: BGTaskRequest {
    public init(identifier: String) { super.init(named: identifier) }
}

public class BGTaskScheduler: NSObject {
    public nonisolated(unsafe) static let shared = BGTaskScheduler()

    /// The identifiers that Info.plist would permit.
    public static let permitted = "com.example.refresh"
    public struct NotPermitted: Error {}

    private var handler: ((BGTask) -> Void)?
    /// The app's violations: iOS ends an app that registers a task again, and one that finishes a task twice.
    public internal(set) var violations: [String] = []
    public private(set) var requests: [BGTaskRequest] = []

    public func register(
        forTaskWithIdentifier identifier: String, using queue: DispatchQueue?, launchHandler: @escaping (BGTask) -> Void
    ) -> Bool {
        guard identifier == Self.permitted else { return false }
        handler = launchHandler
        return true
    }

    public func submit(_ request: BGTaskRequest) throws {
        guard request.identifier == Self.permitted else { throw NotPermitted() }
        requests.append(request)
    }

    /// Starts the task, as iOS does at any time.
    @MainActor
    public func start() -> BGTask {
        let task = BGAppRefreshTask()
        handler?(task)
        return task
    }
}
