#if SIPWAKE_STANDINS || (canImport(UserNotifications) && canImport(CallKit) && os(iOS))
    import CallKit
    import Foundation
    import UserNotifications
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// The entry of a Notification Service Extension for payloads that the server encrypts. The extension's own class is a subclass
    /// that gives the ``decryptor`` and, if it likes, the ``content(for:original:)``.
    ///
    /// A call among them is handed to the app as a VoIP push, which asks for the entitlement
    /// `com.apple.developer.usernotifications.filtering`; the app's `PushKitBridge` then reports it.
    open class SipWakeNotificationService: UNNotificationServiceExtension {
        private var deliver: ((UNNotificationContent) -> Void)?
        private var best: UNNotificationContent?

        /// Opens payloads. Its key is best kept in a Keychain group that app and extension share.
        open var decryptor: any PayloadDecryptor { Sealed() }

        /// Returns what is shown for a chat message or a call that could not be handed to the app.
        open func content(for action: PushAction, original: UNMutableNotificationContent) -> UNNotificationContent {
            if let title = action.callerLabel ?? action.title { original.title = title }
            if let text = action.text { original.body = text }
            return original
        }

        open override func didReceive(
            _ request: UNNotificationRequest, withContentHandler contentHandler: @escaping (UNNotificationContent) -> Void
        ) {
            guard let original = request.content.mutableCopy() as? UNMutableNotificationContent else {
                return contentHandler(request.content)
            }
            deliver = contentHandler
            best = original
            let action = readPush(request.content.userInfo, channel: .apnsAlert, opening: decryptor)
            let shown = content(for: action, original: original)
            best = shown
            guard case .incomingCall = action.kind else { return finish(shown) }
            CXProvider.reportNewIncomingVoIPPushPayload(request.content.userInfo) { [self] error in
                // Nothing is shown for a call that the app shows itself.
                finish(error == nil ? UNNotificationContent() : shown)
            }
        }

        open override func serviceExtensionTimeWillExpire() {
            if let best { finish(best) }
        }

        private func finish(_ content: UNNotificationContent) {
            deliver?(content)
            deliver = nil
        }
    }

    /// Opens nothing.
    private struct Sealed: PayloadDecryptor {
        func decrypt(_ payload: [String: Any]) -> [String: String]? { nil }
    }
#endif
