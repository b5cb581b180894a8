import SampleCore
import SipWake

/// Opens encrypted alerts before they are shown, and hands calls among them to the app.
final class NotificationService: SipWakeNotificationService {
    override var decryptor: any PayloadDecryptor { payloadOpener }

    override var store: (any StateStore)? { keychain }

    override func isSilent(_ action: PushAction) -> Bool { super.isSilent(action) || isLoggedOut(in: keychain) }
}
