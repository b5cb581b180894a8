import Foundation

open class UNNotificationContent: NSObject {
    public let userInfo: [AnyHashable: Any] = [:]
}

open class UNMutableNotificationContent: UNNotificationContent {
    public var title = ""
    public var body = ""
}

open class UNNotificationRequest: NSObject {
    public let content = UNNotificationContent()
}

open class UNNotificationServiceExtension: NSObject {
    open func didReceive(
        _ request: UNNotificationRequest, withContentHandler contentHandler: @escaping (UNNotificationContent) -> Void
    ) {}
    open func serviceExtensionTimeWillExpire() {}
}
