#if SIPWAKE_STANDINS || (canImport(UserNotifications) && (os(iOS) || os(visionOS)))
    import Foundation
    import UserNotifications
    #if SIPWAKE_STANDINS
        import SipWake
    #endif

    /// Shows calls as local notifications, for apps that may have neither PushKit nor CallKit, as in the App Store of mainland China. The
    /// server pushes alerts to the alert token, see ``alertToken(_:)``.
    ///
    /// Without CallKit, iOS does not let a phone continue ringing. The notification's sound plays once, and the user must open the app to
    /// answer.
    @MainActor
    public final class NotificationCalls: NSObject, CallReporter {
        /// The category of its notifications, with the actions `answer` and `decline`.
        public nonisolated static let category = "sipwake-call"

        /// The accounts that get the token.
        public var accounts: [AccountID] {
            didSet { if accounts != oldValue { tokens.give(to: accounts) } }
        }

        private let client: any PushClient
        private let desk: CallDesk
        private let tokens: Tokens

        /// Registers the notifications' actions. The app asks its user for permission and registers for remote notifications.
        ///
        /// - Parameters:
        ///   - answer: the text of the button that answers.
        ///   - decline: the text of the button that declines.
        public convenience init(
            _ client: SipWakeClient, media: any CallMedia, accounts: [AccountID], answer: String = "Answer", decline: String = "Decline"
        ) {
            self.init(client, accounts, answer, decline) { CallDesk(client, screen: $0, media: media) }
        }

        /// The same for the calls of a companion's stack.
        ///
        /// - Parameter controls: carries out the user's commands for a call besides answering and ending it.
        public convenience init(
            _ companion: SipWakeCompanion, controls: any CallControls, accounts: [AccountID], answer: String = "Answer",
            decline: String = "Decline"
        ) {
            self.init(companion, accounts, answer, decline) { CallDesk(companion, screen: $0, controls: controls) }
        }

        private init(
            _ client: any PushClient, _ accounts: [AccountID], _ answer: String, _ decline: String, desk: (any CallScreen) -> CallDesk
        ) {
            self.client = client
            self.accounts = accounts
            tokens = Tokens(client)
            self.desk = desk(NotificationScreen(client))
            super.init()
            let actions = [
                UNNotificationAction(identifier: "answer", title: answer, options: [.foreground]),
                UNNotificationAction(identifier: "decline", title: decline, options: [.destructive]),
            ]
            let category = UNNotificationCategory(identifier: Self.category, actions: actions, intentIdentifiers: [], options: [])
            UNUserNotificationCenter.current().setNotificationCategories([category])
        }

        /// Takes the token for alerts from `application(_:didRegisterForRemoteNotificationsWithDeviceToken:)`. There is no other token
        /// here.
        public func alertToken(_ token: Data) {
            tokens.calls = Tokens.text(token)
            tokens.give(to: accounts)
        }

        /// Takes a remote notification from `application(_:didReceiveRemoteNotification:fetchCompletionHandler:)`. Returns what it means.
        @discardableResult
        public func receive(_ payload: [AnyHashable: Any]) -> PushAction {
            let action = client.push(payload, channel: .apnsAlert, hints: PushHints())
            report(action) {}
            return action
        }

        public func report(_ action: PushAction, done: @escaping @MainActor () -> Void) {
            desk.report(action, done: done)
        }

        public var obstacles: [Obstacle] { desk.obstacles }

        /// Takes the user's response to a notification from `userNotificationCenter(_:didReceive:)`. Returns false if the notification
        /// does not belong to a call.
        public func userResponded(_ action: String, to notification: String) -> Bool {
            guard let call = UUID(uuidString: notification) else { return false }
            switch action {
            case "decline", UNNotificationDismissActionIdentifier: desk.userEnds(call, Tap())
            case "answer": desk.userAnswers(call, Tap())
            default: break
            }
            return true
        }
    }

    /// An action on a notification. Nobody waits for its result.
    private final class Tap: CallScreenAction {
        func fulfill() {}
        func fail() {}
    }

    private final class NotificationScreen: CallScreen {
        private let client: any PushClient

        init(_ client: any PushClient) {
            self.client = client
        }

        func show(_ call: ShownCall, done: @escaping @MainActor (ShowOutcome) -> Void) {
            Task {
                do {
                    try await UNUserNotificationCenter.current().add(request(call))
                    done(.new)
                } catch {
                    done(.refused(.other, Failure(domain: "UserNotifications", doing: "show a call", error)))
                }
            }
        }

        func update(_ call: ShownCall) {
            Task { [client] in
                do { try await UNUserNotificationCenter.current().add(request(call)) } catch {
                    client.note(Failure(domain: "UserNotifications", doing: "show who calls", error))
                }
            }
        }

        func end(_ call: UUID, _ reason: EndReason) {
            UNUserNotificationCenter.current().removeDeliveredNotifications(withIdentifiers: [call.uuidString])
        }
    }

    // It belongs to no actor, because the notification center takes the result.
    private func request(_ call: ShownCall) -> UNNotificationRequest {
        let content = UNMutableNotificationContent()
        content.title = call.label ?? call.caller
        content.categoryIdentifier = NotificationCalls.category
        content.sound = .default
        content.interruptionLevel = .timeSensitive
        return UNNotificationRequest(identifier: call.uuid.uuidString, content: content, trigger: nil)
    }

    extension PushAction {
        /// Returns a local notification for a chat message or a custom push. Nil if there is nothing to show.
        public var notification: UNNotificationRequest? {
            switch kind {
            case .chat, .custom: break
            default: return nil
            }
            guard callerLabel ?? title ?? text != nil else { return nil }
            let content = UNMutableNotificationContent()
            content.title = callerLabel ?? title ?? ""
            content.body = text ?? ""
            content.sound = .default
            return UNNotificationRequest(identifier: callID ?? uuid.uuidString, content: content, trigger: nil)
        }
    }
#endif
