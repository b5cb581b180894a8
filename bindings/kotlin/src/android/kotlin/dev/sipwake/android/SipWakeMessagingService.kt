package dev.sipwake.android

import android.app.ActivityManager
import android.app.ActivityManager.RunningAppProcessInfo
import com.google.firebase.messaging.FirebaseMessagingService
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.AccountId
import dev.sipwake.AppState
import dev.sipwake.Channel
import dev.sipwake.Priority
import dev.sipwake.PushAction
import dev.sipwake.PushHints
import dev.sipwake.SipWakeClient
import dev.sipwake.SipWakeException
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull

/**
 * Takes Firebase's messages to the client, and tells the app what to do.
 *
 * Firebase calls both methods on a thread of its own and gives them some ten seconds.
 */
public abstract class SipWakeMessagingService : FirebaseMessagingService() {
    /** The process's one client, made with the accounts of the logged-in users. */
    protected abstract val client: SipWakeClient

    /** The accounts that a new token is for. */
    protected abstract val accounts: List<AccountId>

    /**
     * Does what [PushAction.duty] says, now: start the foreground service, or show the notification. The client registers
     * meanwhile; the call itself comes as an event.
     */
    protected abstract fun onPush(action: PushAction)

    /** Hears of a token that was refused; there is nothing to do but to report it. */
    protected open fun onTokenRefused(account: AccountId, error: SipWakeException) {}

    final override fun onMessageReceived(message: RemoteMessage) {
        onPush(client.push(message))
    }

    final override fun onNewToken(token: String) {
        // Firebase takes the service down when this returns: by then the token must be stored.
        runBlocking {
            for (account in accounts) {
                try {
                    withTimeoutOrNull(TOKEN_PATIENCE_MS) { client.setToken(account, token) }
                } catch (error: SipWakeException) {
                    onTokenRefused(account, error)
                }
            }
        }
    }

    private companion object {
        const val TOKEN_PATIENCE_MS = 5_000L
    }
}

/** Says what a Firebase message means, at once, and wakes the account behind it. See [SipWakeClient.push]. */
public fun SipWakeClient.push(message: RemoteMessage): PushAction = push(message.data, Channel.FCM_ANDROID, message.hints())

/** Returns what Firebase and the system say about a message beside its content. */
public fun RemoteMessage.hints(): PushHints = PushHints(
    deliveredPriority = priorityOf(priority),
    originalPriority = priorityOf(originalPriority),
    appState = appState(),
)

private fun priorityOf(value: Int): Priority? = when (value) {
    RemoteMessage.PRIORITY_HIGH -> Priority.HIGH
    RemoteMessage.PRIORITY_NORMAL -> Priority.NORMAL
    else -> null
}

/** Only an app in front may start a foreground service whatever the priority; all else is of no use to know. */
private fun appState(): AppState {
    val process = RunningAppProcessInfo().also(ActivityManager::getMyMemoryState)
    return if (process.importance == RunningAppProcessInfo.IMPORTANCE_FOREGROUND) AppState.FOREGROUND else AppState.BACKGROUND
}
