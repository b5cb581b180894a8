#if SIPWAKE_STANDINS || (canImport(UserNotifications) && canImport(CallKit) && (os(iOS) || os(visionOS)))
    import CallKit
    import Foundation
    import UserNotifications
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// The entry of a Notification Service Extension for payloads that the server seals. The extension's own class is a subclass that gives
    /// the ``store``, whose keys open what is sealed, or an app's own ``decryptor`` and, if it likes, the ``content(for:original:)`` and ``isSilent(_:)``.
    ///
    /// It opens no client and no socket: an extension has little memory, some 24 MB, and half a minute. It gives a call to the app as a
    /// VoIP push, which needs the entitlement `com.apple.developer.usernotifications.filtering`. The app's `PushKitBridge` then reports it.
    open class SipWakeNotificationService: UNNotificationServiceExtension {
        // Guards both fields: iOS says that time is up on another thread.
        private let lock = NSLock()
        private var deliver: ((UNNotificationContent) -> Void)?
        private var best: UNNotificationContent?

        /// Opens payloads. Its key is best kept in a Keychain group that app and extension share.
        open var decryptor: any PayloadDecryptor { Sealed() }

        /// The app's store, in the shared Keychain group. It has the keys that open sealed pushes, and says who logged out and who does not
        /// want to be disturbed. It is read and never written.
        open var store: (any StateStore)? { nil }

        /// Returns whether to show nothing for a push, because its user logged out or does not want to be disturbed, as ``store`` says.
        ///
        /// Showing nothing takes the same entitlement as handing calls over; without it iOS shows the original.
        open func isSilent(_ action: PushAction) -> Bool {
            [.ignore(reason: .loggedOut), .ignore(reason: .doNotDisturb)].contains(action.kind)
        }

        /// Returns what to show for a chat message or a call that could not be given to the app.
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
                // Nothing is shown for a call that the app shows itself.
                service.finish(error == nil ? UNNotificationContent() : content)
            }
        }

        open override func serviceExtensionTimeWillExpire() {
            if let best = lock.withLock({ best }) { finish(best) }
        }

        /// Completes, once.
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
