package dev.sipwake.android

import android.app.job.JobInfo
import android.app.job.JobParameters
import android.app.job.JobScheduler
import android.app.job.JobService
import android.content.ComponentName
import android.content.Context
import android.os.Build
import android.os.PersistableBundle
import dev.sipwake.AccountId
import dev.sipwake.SipWakeEvent
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull

/**
 * What a later process has to finish: log-outs that no server has confirmed yet, and a registration that took too long. One job of the
 * platform's for all of it, with a network; none where nothing is pending.
 */
internal class PendingWork(private val context: Context, private val jobId: Int) {
    private val scheduler = context.system<JobScheduler>()

    @Synchronized
    fun add(account: AccountId): Boolean = schedule(logOuts() + account.value, expedited = false)

    @Synchronized
    fun done(account: AccountId) {
        val left = logOuts() - account.value
        if (scheduler.getPendingJob(jobId) == null) return
        if (left.isEmpty()) scheduler.cancel(jobId) else schedule(left, expedited = false)
    }

    /** After a push that no foreground service could be started for, and whose REGISTER took longer than Firebase waits. */
    @Synchronized
    fun refreshSoon(): Boolean = schedule(logOuts(), expedited = true)

    private fun logOuts(): Set<String> =
        scheduler.getPendingJob(jobId)?.extras?.getStringArray(LOG_OUTS).orEmpty().toSet()

    private fun schedule(logOuts: Set<String>, expedited: Boolean): Boolean {
        val builder = JobInfo.Builder(jobId, ComponentName(context, SipWakeJobService::class.java))
            .setRequiredNetworkType(JobInfo.NETWORK_TYPE_ANY)
            .setExtras(
                PersistableBundle().apply {
                    putStringArray(LOG_OUTS, logOuts.toTypedArray())
                    putLong(SINCE, System.currentTimeMillis())
                },
            )
        if (expedited && Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            builder.setExpedited(true)
        } else {
            builder.setBackoffCriteria(BACK_OFF_MS, JobInfo.BACKOFF_POLICY_EXPONENTIAL)
            if (!expedited) builder.setPersisted(survivesRestart(context))
        }
        return try {
            scheduler.schedule(builder.build()) == JobScheduler.RESULT_SUCCESS
        } catch (_: IllegalArgumentException) {
            // The app's manifest has no SipWakeJobService.
            false
        } catch (_: IllegalStateException) {
            // The app has too many jobs.
            false
        }
    }

    internal companion object {
        const val LOG_OUTS = "dev.sipwake.log-outs"
        const val SINCE = "dev.sipwake.since"
        const val BACK_OFF_MS = 30_000L
    }
}

/**
 * Finishes what an earlier process could not. Android starts it when there is a network, the process is made with it, and the client
 * delivers what is stored by itself: it is enough to wait for that.
 *
 * In the app's manifest, with the permission `android.permission.BIND_JOB_SERVICE`. Where the app has `RECEIVE_BOOT_COMPLETED`, the job
 * survives a restart of the phone.
 */
public class SipWakeJobService : JobService() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)

    override fun onStartJob(parameters: JobParameters): Boolean {
        val phone = phone
        val logOuts = parameters.extras.getStringArray(PendingWork.LOG_OUTS).orEmpty().toMutableSet()
        scope.launch {
            val client = phone.clientOrNull()
            val done = client != null && withTimeoutOrNull(PATIENCE) {
                client.events.first { event ->
                    if (event is SipWakeEvent.LoggedOut) logOuts -= event.account.value
                    logOuts.isEmpty() && (event is SipWakeEvent.LoggedOut || event is SipWakeEvent.Registered || event is SipWakeEvent.RegistrationFailed)
                }
            } != null
            // The client gives up a log-out after thirty days, and another process may have heard of the end.
            val age = System.currentTimeMillis() - parameters.extras.getLong(PendingWork.SINCE)
            jobFinished(parameters, !done && age < LONGEST.inWholeMilliseconds)
        }
        return true
    }

    /** Android takes the network or the time away: again later. */
    override fun onStopJob(parameters: JobParameters): Boolean {
        scope.cancel()
        return true
    }

    private companion object {
        /** Less than the platform's own limit for a job. */
        val PATIENCE = 2.minutes
        val LONGEST = 31.days
    }
}
