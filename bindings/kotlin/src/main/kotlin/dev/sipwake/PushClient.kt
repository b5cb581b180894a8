package dev.sipwake

import kotlinx.coroutines.flow.Flow

/**
 * What the ready parts for a phone stand on: a [SipWakeClient], or a [SipWakeCompanion] beside another stack. Both judge pushes, know
 * each call by one UUID from its push on, and tell what becomes of it.
 */
public sealed class PushClient : AutoCloseable {
    /** What happens. See [SipWakeClient.events]. */
    public abstract val events: Flow<SipWakeEvent>

    /** The events from when it is collected. */
    internal abstract val eventsFromNow: Flow<SipWakeEvent>

    /**
     * Says what a push means for the operating system, at once, and never throws: whatever the payload, there is an action. A push for a
     * logged-out user, or of a call that is over, makes no sound. After it was closed a push is only read, as [parsePush] does.
     */
    public abstract fun push(
        data: Map<String, String>,
        channel: Channel = Channel.FCM_ANDROID,
        hints: PushHints = PushHints(),
    ): PushAction

    /** As the other [push], for a payload that is JSON text. */
    public abstract fun push(json: ByteArray, channel: Channel, hints: PushHints = PushHints()): PushAction

    internal abstract suspend fun takeToken(account: AccountId, token: String)

    internal abstract suspend fun tellNetworkChanged()
}
