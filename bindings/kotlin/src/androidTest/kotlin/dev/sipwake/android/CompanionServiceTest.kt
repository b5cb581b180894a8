package dev.sipwake.android

import android.app.NotificationManager
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.AccountId
import dev.sipwake.AppState
import dev.sipwake.BesideApp
import dev.sipwake.Credentials
import dev.sipwake.Duty
import dev.sipwake.FIRST_TOKEN
import dev.sipwake.IgnoreReason
import dev.sipwake.Memory
import dev.sipwake.MockGateway
import dev.sipwake.PushAction
import dev.sipwake.PushClient
import dev.sipwake.SipWakeEvent
import dev.sipwake.alice
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlinx.coroutines.runBlocking
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** What the service finds in the process that Firebase has started. */
private object Process {
    lateinit var app: BesideApp
    val companion get() = app.companion
    val accounts get() = listOf(app.account)
    val actions = mutableListOf<PushAction>()
}

// docs:besideservice
class BesideService : SipWakeMessagingService() {
    override val client: PushClient get() = Process.companion
    override val accounts: List<AccountId> get() = Process.accounts

    override fun onPush(action: PushAction) {
        if (action is PushAction.IncomingCall && action.duty is Duty.ShowNotification) App.ring(this, action)
        Process.actions += action
    }
}
// docs:end

/** The messaging service and the notification over a companion, whose stack is the test's own. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
class CompanionServiceTest {
    private val gateway = MockGateway()
    private val store = Memory()
    private val notifications = shadowOf(RuntimeEnvironment.getApplication().system<NotificationManager>())

    @AfterTest
    fun close() {
        Process.app.close()
        gateway.close()
    }

    /** Android starts the process, and with it the service. */
    private fun start(): BesideService {
        Process.app = BesideApp(store, gateway, alice(gateway), Credentials.Password("wonderland"))
        return Robolectric.setupService(BesideService::class.java)
    }

    @Test
    fun `a push to a killed process is the call that the stack is invited to`() = runBlocking {
        start().onNewToken(FIRST_TOKEN)
        Process.app.register()
        Process.app.next<SipWakeEvent.Registered>()
        assertEquals(listOf(FIRST_TOKEN), gateway.tokens())
        Process.app.close()
        gateway.sleep()

        val call = gateway.placeCall()
        val push = gateway.nextPush()
        start().onMessageReceived(message(push, RemoteMessage.PRIORITY_HIGH))
        val action = assertIs<PushAction.IncomingCall>(Process.actions.last())
        assertEquals(Duty.StartForegroundService, action.duty)
        assertEquals(action.uuid, Process.app.next<SipWakeEvent.CallRinging>().uuid)
        // On Robolectric the test's own process is in front, where a service may be started all the same.
        val downgraded = message(push, RemoteMessage.PRIORITY_NORMAL)
        val again = Process.companion.push(downgraded.data, hints = downgraded.hints().copy(appState = AppState.BACKGROUND))
        App.ring(RuntimeEnvironment.getApplication(), assertIs<PushAction.IncomingCall>(again))
        assertNotNull(notifications.getNotification("${action.uuid}", 5060), "$again")

        Process.companion.answer(action.uuid)
        gateway.waitCall(call, "answered")
        assertEquals(action.uuid, Process.app.next<SipWakeEvent.CallConnected>().uuid)
        Process.companion.hangUp(action.uuid)
        gateway.waitCall(call, "hung_up_by_callee")
        // A log-out ends what is not over yet.
        assertEquals(action.uuid, Process.app.next<SipWakeEvent.CallEnded>().uuid)
        Process.companion.logOut(Process.app.account)
        Process.app.next<SipWakeEvent.LoggedOut>()
        Robolectric.setupService(BesideService::class.java).onMessageReceived(message(push, RemoteMessage.PRIORITY_HIGH))
        assertEquals(IgnoreReason.LOGGED_OUT, assertIs<PushAction.Ignore>(Process.actions.last()).reason)
    }
}
