package dev.sipwake.android

/**
 * What Telecom binds to for the calls of a [SipWakePhone]. Name it in the app's manifest for calls on headsets and in cars, with the
 * permission `android.permission.BIND_TELECOM_CONNECTION_SERVICE` and the action `android.telecom.ConnectionService`, and set
 * [PhoneSettings.telecom].
 */
public class SipWakeConnectionService : TelecomCallService() {
    override val calls: TelecomCalls
        get() = checkNotNull(phone.telecom) { "Telecom asks for a call that it was never told of" }
}
