package dev.sipwake.sample.android

import dev.sipwake.AccountId
import dev.sipwake.PushAction
import dev.sipwake.SipWakeClient
import dev.sipwake.android.SipWakeMessagingService

/**
 * Takes Firebase's messages. They must be data messages of high priority: Android hands a message with a `notification` to
 * nobody while the app is in the background, and one of normal priority when it pleases.
 */
class WakeService : SipWakeMessagingService() {
    override val client: SipWakeClient get() = sample.phone.client
    override val accounts: List<AccountId> get() = sample.phone.accounts

    override fun onPush(action: PushAction): Unit = sample.phone.pushed(action)
}
