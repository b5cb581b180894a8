#if SIPWAKE_STANDINS || (canImport(UserNotifications) && canImport(CallKit) && (os(iOS) || os(visionOS)))
    import CallKit
    import Foundation
    import UserNotifications
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// The base class for a Notification Service Extension whose server seals payloads. Derive the extension's own class from it.
    /// Override ``store``, whose keys open sealed pushes, or give an app's own ``decryptor``. You can also override
    /// ``content(for:original:)`` and ``isSilent(_:)``.
    ///
    /// It opens no client and no socket, because an extension has little memory, some 24 MB, and half a minute. It passes a call to the
    /// app as a VoIP push, which needs the entitlement `com.apple.developer.usernotifications.filtering`. The app's `PushKitBridge` then
    /// reports the call.
    open class SipWakeNotificationService: UNNotificationServiceExtension {
        // Guards both fields, because iOS calls from another thread when time is up.
        private let lock = NSLock()
        private var deliver: ((UNNotificationContent) -> Void)?
        private var best: UNNotificationContent?

        /// Opens payloads. Keep its key in a Keychain group that app and extension share.
        open var decryptor: any PayloadDecryptor { Sealed() }

        /// The app's store, in the shared Keychain group. It has the keys that open sealed pushes, and says who logged out and who does
        /// not want to be disturbed. It is only read.
        open var store: (any StateStore)? { nil }

        /// Returns whether to show nothing for a push, because its user logged out or does not want to be disturbed, as ``store`` says.
        ///
        /// Showing nothing needs the same entitlement as passing calls to the app. Without it iOS shows the original.
        open func isSilent(_ action: PushAction) -> Bool {
            [.ignore(reason: .loggedOut), .ignore(reason: .doNotDisturb)].contains(action.kind)
        }

        /// Returns what to show for a chat message, or for a call that could not be passed to the app.
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
            lock.withLock { (deliver, best) = (contentHandler, original) }
            let (payload, store) = (request.content.userInfo, store)
            let action =
                store.map { readPush(payload, channel: .apnsAlert, opening: decryptor, heeding: $0) }
                ?? readPush(payload, channel: .apnsAlert, opening: decryptor)
            if isSilent(action) { return finish(UNNotificationContent()) }
            let shown = content(for: action, original: original)
            lock.withLock { best = shown }
            guard case .incomingCall = action.kind else { return finish(shown) }
            nonisolated(unsafe) let (service, content) = (self, shown)
            CXProvider.reportNewIncomingVoIPPushPayload(request.content.userInfo) { @Sendable error in
                // The app shows this call itself, so nothing is shown here.
                service.finish(error == nil ? UNNotificationContent() : content)
            }
        }

        open override func serviceExtensionTimeWillExpire() {
            if let best = lock.withLock({ best }) { finish(best) }
        }

        /// Completes the request, only once.
        private func finish(_ content: UNNotificationContent) {
            let handler = lock.withLock {
                defer { deliver = nil }
                return deliver
            }
            handler?(content)
        }
    }

    /// Opens nothing.
    private struct Sealed: PayloadDecryptor {
        func decrypt(_ payload: [String: Any]) -> [String: String]? { nil }
    }
#endif
