package dev.sipwake.android

/**
 * The service that Telecom binds to for the calls of a [SipWakePhone]. For calls on headsets and in cars, name it in the app's
 * manifest with the permission `android.permission.BIND_TELECOM_CONNECTION_SERVICE` and the action
 * `android.telecom.ConnectionService`, and set [PhoneSettings.telecom].
 */
public class SipWakeConnectionService : TelecomCallService() {
    override val calls: TelecomCalls
        get() = checkNotNull(phone.telecom) { "Telecom asks for a call that it was never told of" }
}
