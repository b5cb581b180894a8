package dev.sipwake

import kotlinx.coroutines.flow.Flow

/**
 * The base of the ready-made parts for a phone: a [SipWakeClient], or a [SipWakeCompanion] beside another stack. Both judge pushes,
 * know each call by one UUID from its push on, and report what happens to it.
 */
public sealed class PushClient : AutoCloseable {
    /** The events. See [SipWakeClient.events]. */
    public abstract val events: Flow<SipWakeEvent>

    /** The events from the moment when collecting begins. */
    internal abstract val eventsFromNow: Flow<SipWakeEvent>

    /**
     * Says at once what a push means for the operating system, and never throws. Any payload gives an action. A push for a user who
     * logged out, or for a call that is over, makes no sound. After [close] a push is only read, as by [parsePush].
     */
    public abstract fun push(
        data: Map<String, String>,
        channel: Channel = Channel.FCM_ANDROID,
        hints: PushHints = PushHints(),
    ): PushAction

    /** The same for a payload that is JSON text. */
    public abstract fun push(json: ByteArray, channel: Channel, hints: PushHints = PushHints()): PushAction

    internal abstract suspend fun takeToken(account: AccountId, token: String)

    internal abstract suspend fun tellNetworkChanged()
}
