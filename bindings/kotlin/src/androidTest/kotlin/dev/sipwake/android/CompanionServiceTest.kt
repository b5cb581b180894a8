package dev.sipwake.android

import android.app.NotificationManager
import android.app.job.JobInfo
import android.app.job.JobParameters
import android.app.job.JobScheduler
import com.google.firebase.messaging.RemoteMessage
import dev.sipwake.AccountId
import dev.sipwake.AppState
import dev.sipwake.BesideApp
import dev.sipwake.Credentials
import dev.sipwake.Duty
import dev.sipwake.FIRST_TOKEN
import dev.sipwake.IgnoreReason
import dev.sipwake.Kept
import dev.sipwake.Memory
import dev.sipwake.MockGateway
import dev.sipwake.NoStack
import dev.sipwake.PATIENCE_MS
import dev.sipwake.PushAction
import dev.sipwake.PushClient
import dev.sipwake.SipWakeCompanion
import dev.sipwake.SipWakeEvent
import dev.sipwake.alice
import java.time.Instant
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertTrue
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadow.api.Shadow
import org.robolectric.shadows.ShadowJobService

/** What the service finds in a process that Firebase started. */
private object Process {
    lateinit var app: BesideApp
    val companion get() = app.companion
    val accounts get() = listOf(app.account)
    var loggedIn = emptyList<AccountId>()
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

// docs:besidejob
class BesideJob : SipWakeCompanionJobService() {
    override fun companion(): SipWakeCompanion = Process.companion

    override fun accounts(): List<AccountId> = Process.loggedIn
}
// docs:end

/** The messaging service and the notification over a companion. The test has its own stack. */
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

    /** Android starts the process and its service. */
    private fun start(): BesideService {
        Process.app = BesideApp(store, gateway, alice(gateway), Credentials.Password("wonderland"))
        return Robolectric.setupService(BesideService::class.java)
    }

    @Test
    fun `a push to a killed process and the stack's INVITE are one call`() = runBlocking {
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
        // On Robolectric the test's process is in the foreground, where it may always start a service.
        val downgraded = message(push, RemoteMessage.PRIORITY_NORMAL)
        val again = Process.companion.push(downgraded.data, hints = downgraded.hints().copy(appState = AppState.BACKGROUND))
        App.ring(RuntimeEnvironment.getApplication(), assertIs<PushAction.IncomingCall>(again))
        assertNotNull(notifications.getNotification("${action.uuid}", 5060), "$again")

        Process.companion.answer(action.uuid)
        gateway.waitCall(call, "answered")
        assertEquals(action.uuid, Process.app.next<SipWakeEvent.CallConnected>().uuid)
        Process.companion.hangUp(action.uuid)
        gateway.waitCall(call, "hung_up_by_callee")
        // A log-out ends what is still going on.
        assertEquals(action.uuid, Process.app.next<SipWakeEvent.CallEnded>().uuid)
        Process.companion.logOut(Process.app.account)
        Process.app.next<SipWakeEvent.LoggedOut>()
        Robolectric.setupService(BesideService::class.java).onMessageReceived(message(push, RemoteMessage.PRIORITY_HIGH))
        assertEquals(IgnoreReason.LOGGED_OUT, assertIs<PushAction.Ignore>(Process.actions.last()).reason)
    }

    @Test
    fun `a log-out of an ended process is delivered by the one that its job starts`() = runBlocking {
        start().onNewToken(FIRST_TOKEN)
        Process.app.register()
        Process.app.next<SipWakeEvent.Registered>()
        Process.app.close()

        Process.app = BesideApp(store, gateway, alice(gateway), Credentials.Password("wonderland"), deaf = true)
        assertEquals(Kept.DURABLE, Process.companion.logOut(Process.app.account))
        val context = RuntimeEnvironment.getApplication()
        assertTrue(SipWakeCompanionJobService.schedule(context, 7, BesideJob::class.java))
        val job = assertNotNull(context.system<JobScheduler>().getPendingJob(7))
        assertEquals(BesideJob::class.java.name to JobInfo.NETWORK_TYPE_ANY, job.service.className to job.networkType)
        Process.app.close()
        assertTrue(gateway.bindings().isNotEmpty(), "no REGISTER has told of it yet")

        val pending = SipWakeCompanion(store, NoStack).use { it.pending() }.single()
        Process.app = BesideApp(store, gateway, null, pending.credentials)
        assertEquals(false, runs().isRescheduleNeeded)
        assertTrue(gateway.bindings().isEmpty(), "the gateway has forgotten the user")
        // A job without work ends at once, even on an instance on which Android has stopped another job.
        val service = Robolectric.setupService(BesideJob::class.java)
        val stopped = Shadow.newInstanceOf(JobParameters::class.java)
        service.onStartJob(stopped)
        service.onStopJob(stopped)
        assertEquals(false, runs(service).isRescheduleNeeded)
    }

    @Test
    fun `a job for the end of do not disturb starts a process, and the stack registers`() = runBlocking {
        start().onNewToken(FIRST_TOKEN)
        Process.app.register()
        Process.app.next<SipWakeEvent.Registered>()
        val until = Instant.now().plusSeconds(3600)
        Process.companion.setDoNotDisturb(Process.app.account, until)
        Process.app.next<SipWakeEvent.Registered>()
        assertEquals(emptyList(), gateway.tokens())
        val context = RuntimeEnvironment.getApplication()
        assertTrue(SipWakeCompanionJobService.schedule(context, 8, BesideJob::class.java, until))
        val latency = assertNotNull(context.system<JobScheduler>().getPendingJob(8)).minLatencyMillis
        assertTrue(latency in 1..3_600_000, "$latency")
        Process.app.close()

        // This binding has a long lifetime, so only the job asks the stack for anything.
        start()
        Process.loggedIn = Process.accounts
        assertEquals(false, runs().isRescheduleNeeded)
        Process.app.next<SipWakeEvent.Registered>()
        Process.loggedIn = emptyList()
    }

    /** Android starts the job, and waits for its end. */
    private suspend fun runs(service: BesideJob = Robolectric.setupService(BesideJob::class.java)): ShadowJobService {
        assertTrue(service.onStartJob(Shadow.newInstanceOf(JobParameters::class.java)))
        withTimeout(PATIENCE_MS) { while (!shadowOf(service).isJobFinished) delay(20) }
        return shadowOf(service)
    }
}
