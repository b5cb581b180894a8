import Foundation

public class UNNotificationSound: NSObject {
    public static let `default` = UNNotificationSound()
}

public enum UNNotificationInterruptionLevel: UInt, Sendable { case passive, active, timeSensitive, critical }

open class UNNotificationContent: NSObject {
    public fileprivate(set) var userInfo: [AnyHashable: Any] = [:]

    open override func mutableCopy() -> Any {
        let copy = UNMutableNotificationContent()
        copy.userInfo = userInfo
        return copy
    }
}

open class UNMutableNotificationContent: UNNotificationContent {
    public var title = ""
    public var body = ""
    public var categoryIdentifier = ""
    public var sound: UNNotificationSound?
    public var interruptionLevel = UNNotificationInterruptionLevel.active
}

public class UNNotificationTrigger: NSObject {}

open class UNNotificationRequest: NSObject {
    public let identifier: String
    public let content: UNNotificationContent
    public init(identifier: String, content: UNNotificationContent, trigger: UNNotificationTrigger?) {
        self.identifier = identifier
        self.content = content
    }

    /// A remote notification, as an extension gets it.
    public init(remote userInfo: [AnyHashable: Any]) {
        identifier = UUID().uuidString
        content = UNNotificationContent()
        content.userInfo = userInfo
    }
}

open class UNNotificationServiceExtension: NSObject {
    open func didReceive(
        _ request: UNNotificationRequest, withContentHandler contentHandler: @escaping (UNNotificationContent) -> Void
    ) {}
    open func serviceExtensionTimeWillExpire() {}
}

public struct UNAuthorizationOptions: OptionSet, Sendable {
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }
    public static let sound = Self(rawValue: 2)
    public static let alert = Self(rawValue: 4)
}

public struct UNNotificationActionOptions: OptionSet, Sendable {
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }
    public static let destructive = Self(rawValue: 2)
    public static let foreground = Self(rawValue: 4)
}

public struct UNNotificationCategoryOptions: OptionSet, Sendable {
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }
}

public class UNNotificationAction: NSObject {
    public init(identifier: String, title: String, options: UNNotificationActionOptions = []) {}
}

public class UNNotificationCategory: NSObject {
    public let identifier: String
    public init(
        identifier: String, actions: [UNNotificationAction], intentIdentifiers: [String], options: UNNotificationCategoryOptions = []
    ) {
        self.identifier = identifier
    }
}

public enum UNAuthorizationStatus: Int, Sendable { case notDetermined, denied, authorized, provisional, ephemeral }
public enum UNNotificationSetting: Int, Sendable { case notSupported, disabled, enabled }

public class UNNotificationSettings: NSObject, @unchecked Sendable {
    public let authorizationStatus: UNAuthorizationStatus
    public let soundSetting: UNNotificationSetting

    /// The settings of the tests' user.
    public init(_ status: UNAuthorizationStatus, sound: UNNotificationSetting) {
        authorizationStatus = status
        soundSetting = sound
    }
}

public let UNNotificationDismissActionIdentifier = "com.apple.UNNotificationDismissActionIdentifier"

public class UNUserNotificationCenter: NSObject, @unchecked Sendable {
    private static let shared = UNUserNotificationCenter()
    public class func current() -> UNUserNotificationCenter { shared }

    // Guards the fields.
    private let lock = NSLock()
    private var shown: [String: UNNotificationContent] = [:]
    private var denied: (any Error)?
    private var settings = UNNotificationSettings(.authorized, sound: .enabled)

    public func notificationSettings() async -> UNNotificationSettings { lock.withLock { settings } }

    /// Sets the user's settings.
    public func set(_ settings: UNNotificationSettings) { lock.withLock { self.settings = settings } }

    public func requestAuthorization(options: UNAuthorizationOptions) async throws -> Bool { true }
    public func setNotificationCategories(_ categories: Set<UNNotificationCategory>) {}

    public func add(_ request: UNNotificationRequest) async throws {
        try lock.withLock {
            if let denied { throw denied }
            shown[request.identifier] = request.content
        }
    }

    public func removeDeliveredNotifications(withIdentifiers identifiers: [String]) {
        lock.withLock { for identifier in identifiers { shown[identifier] = nil } }
    }

    /// The shown notifications, by identifier.
    public func title(_ identifier: String) -> String? {
        lock.withLock { (shown[identifier] as? UNMutableNotificationContent)?.title }
    }

    public func deny(_ error: (any Error)?) { lock.withLock { denied = error } }
}
