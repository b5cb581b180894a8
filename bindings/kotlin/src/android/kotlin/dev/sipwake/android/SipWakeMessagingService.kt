package dev.sipwake.android

import android.app.ActivityManager
import android.app.ActivityManager.RunningAppProcessInfo
import com.google.firebase.messaging.FirebaseMessagingService
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.AccountId
import dev.sipwake.AppState
import dev.sipwake.Channel
import dev.sipwake.Duty
import dev.sipwake.PayloadProblem
import dev.sipwake.Priority
import dev.sipwake.PushAction
import dev.sipwake.PushHints
import dev.sipwake.PushClient
import dev.sipwake.SipWakeException
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull

/**
 * Gives Firebase's messages to the app's own client or companion, and tells the app what to do. [SipWakePushService] does the same
 * for a [SipWakePhone].
 *
 * Firebase calls it on one thread, with one message at a time. The phone can sleep when its handler returns. If [onPush] started a
 * foreground service, this returns at once. Otherwise it waits until the server has responded, for less than twenty seconds.
 */
public abstract class SipWakeMessagingService : FirebaseMessagingService() {
    /** The process's one client, or its companion for another stack, made with the accounts of the logged-in users. */
    protected abstract val client: PushClient

    /** The accounts that a new token is for. */
    protected abstract val accounts: List<AccountId>

    /**
     * Does what [PushAction.duty] says, now: start the foreground service, or show the notification. In the meantime the client
     * registers, or the companion asks its stack to register. The call itself comes as an event.
     */
    protected abstract fun onPush(action: PushAction)

    /** Takes a message that is not for the client. */
    protected open fun onOtherMessage(message: RemoteMessage) {}

    /** Called if a token is refused. You can only report it. */
    protected open fun onTokenRefused(account: AccountId, error: SipWakeException) {}

    final override fun onMessageReceived(message: RemoteMessage) {
        val awake = WakeLocks(this)
        awake.hold(AWAKE)
        Downgrades.note(applicationContext, message)
        val answered = CoroutineScope(Dispatchers.Default)
            .async(start = CoroutineStart.UNDISPATCHED) { client.eventsFromNow.first(::answersPush) }
        val action = client.push(message)
        if (isOther(action)) onOtherMessage(message) else onPush(action)
        val stays = action.duty is Duty.ShowNotification || wakes(action)
        if (stays) runBlocking { withTimeoutOrNull(WORKER_PATIENCE) { answered.await() } }
        answered.cancel()
    }

    final override fun onNewToken(token: String): Unit = taken(token)

    /** A Firebase installation id, which takes the token's place from firebase-messaging 25.1 on. */
    final override fun onRegistered(installationId: String): Unit = taken(installationId)

    private fun taken(token: String) {
        // Firebase stops the service when this returns. The token must be stored by then.
        runBlocking {
            for (account in accounts) {
                try {
                    withTimeoutOrNull(TOKEN_PATIENCE) { client.takeToken(account, token) }
                } catch (error: SipWakeException) {
                    onTokenRefused(account, error)
                }
            }
        }
    }

    private companion object {
        val TOKEN_PATIENCE = 5.seconds
        val WORKER_PATIENCE = 18.seconds

        /** Longer than the worker stays, and as long as the client waits for an INVITE. */
        val AWAKE = 40.seconds
    }
}

/**
 * Takes Firebase's messages and tokens to the app's [SipWakePhone]. Name it in the app's manifest: not exported, with the action
 * `com.google.firebase.MESSAGING_EVENT`.
 */
public open class SipWakePushService : FirebaseMessagingService() {
    /** Firebase delivers one message at a time. */
    private var judged: PushAction? = null

    /**
     * Takes a message that is neither a call nor chat: one of the app's own, or a server's custom push. The default shows a
     * notification if the server gave a title. If you override it, your app decides.
     */
    protected open fun onOtherMessage(message: RemoteMessage) {
        judged?.let(phone::showMessage)
    }

    final override fun onMessageReceived(message: RemoteMessage): Unit = runBlocking {
        val phone = phone
        Downgrades.note(applicationContext, message)
        // Without a client, a refusal says why.
        val taken = phone.take(message.mayStartService()) { it.push(message) } ?: return@runBlocking
        judged = taken.action
        if (isOther(taken.action) || taken.action is PushAction.Custom) onOtherMessage(message)
        taken.answered?.let { phone.await(it) }
    }

    final override fun onNewToken(token: String): Unit = runBlocking { phone.setToken(token) }

    /** A Firebase installation id, which takes the token's place from firebase-messaging 25.1 on. */
    final override fun onRegistered(installationId: String): Unit = runBlocking { phone.setToken(installationId) }

    /** The app asked Firebase to give up the installation id. Nothing wakes this phone until there is another. */
    final override fun onUnregistered(installationId: String): Unit = phone.forgetToken(installationId)
}

/** Whether a message has content, but not in the form of any known server. */
private fun isOther(action: PushAction) =
    action.details.problem == PayloadProblem.UNRECOGNISED || action is PushAction.Custom && action.type.isEmpty()

/** Says at once what a Firebase message means, and wakes the message's account. See [PushClient.push]. */
public fun PushClient.push(message: RemoteMessage): PushAction = push(message.data, Channel.FCM_ANDROID, message.hints())

/** Returns what Firebase and the system say about a message besides its content. */
public fun RemoteMessage.hints(): PushHints = PushHints(
    deliveredPriority = priorityOf(priority),
    originalPriority = priorityOf(originalPriority),
    appState = appState(),
)

private fun RemoteMessage.mayStartService() = priority == RemoteMessage.PRIORITY_HIGH || appState() == AppState.FOREGROUND

private fun priorityOf(value: Int): Priority? = when (value) {
    RemoteMessage.PRIORITY_HIGH -> Priority.HIGH
    RemoteMessage.PRIORITY_NORMAL -> Priority.NORMAL
    else -> null
}

/** Only the foreground matters here: an app in the foreground may start a foreground service with any priority. */
private fun appState(): AppState {
    val process = RunningAppProcessInfo().also(ActivityManager::getMyMemoryState)
    return if (process.importance == RunningAppProcessInfo.IMPORTANCE_FOREGROUND) AppState.FOREGROUND else AppState.BACKGROUND
}
