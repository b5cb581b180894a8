package dev.sipwake.sample.android

import dev.sipwake.android.TelecomCallService
import dev.sipwake.android.TelecomCalls

/** What Android's Telecom binds to. The call is on the screen already when it does. */
class SampleConnectionService : TelecomCallService() {
    override val calls: TelecomCalls
        get() = checkNotNull(sample.telecom) { "Telecom binds to nothing on a device without it" }
}
