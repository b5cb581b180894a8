package dev.sipwake.android

import android.app.job.JobInfo
import android.app.job.JobParameters
import android.app.job.JobScheduler
import android.app.job.JobService
import android.content.ComponentName
import android.content.Context
import android.os.Build
import android.os.PersistableBundle
import androidx.annotation.RequiresApi
import dev.sipwake.AccountId
import kotlin.time.Duration
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull

/**
 * Work for a later process: log-outs that no server has confirmed yet, and bindings that only the phone refreshes. One job of the
 * platform does all of it, when there is a network. If nothing is pending, there is no job. The job itself stores its work.
 */
internal class PendingWork(private val context: Context, private val jobId: Int) {
    private val scheduler = context.system<JobScheduler>()

    /** A new job would stop the running one, so changes are scheduled when that one is over. */
    private var running = false
    private val now = MutableStateFlow(scheduler.getPendingJob(jobId)?.extras?.let { Work.read(it) } ?: Work())
    val work: StateFlow<Work> = now.asStateFlow()

    @Synchronized
    fun add(account: AccountId): Boolean = work.value.let {
        change(Work(it.logOuts + (account.value to time()), it.due - account.value))
    }

    @Synchronized
    fun done(account: AccountId) {
        change(work.value.copy(logOuts = work.value.logOuts - account.value))
    }

    /** Refreshes the binding after this time, unless it is refreshed before. Null means that the server wakes the phone for it. */
    @Synchronized
    fun due(account: AccountId, after: Duration?): Boolean {
        val due = work.value.due
        if (after == null && account.value !in due) return true
        return change(
            work.value.copy(due = if (after == null) due - account.value else due + (account.value to time() + after.inWholeMilliseconds)),
        )
    }

    /** Called after a push if no foreground service could be started for it and its REGISTER took longer than Firebase waits. */
    @Synchronized
    fun refreshSoon(): Boolean = schedule(expedited = true)

    @Synchronized
    fun begin(): Work {
        running = true
        // The client gives up a log-out after thirty days, and another process may have finished it.
        now.value = work.value.copy(logOuts = work.value.logOuts.filterValues { time() - it < LONGEST.inWholeMilliseconds })
        return work.value
    }

    /** Schedules the rest, unless the platform tries the same job again. */
    @Synchronized
    fun end(again: Boolean) {
        running = false
        if (!again) change(work.value)
    }

    private fun change(to: Work): Boolean {
        now.value = to
        if (running) return true
        if (!to.isEmpty()) return schedule(expedited = false)
        if (scheduler.getPendingJob(jobId) != null) scheduler.cancel(jobId)
        return true
    }

    private fun schedule(expedited: Boolean): Boolean {
        val builder = JobInfo.Builder(jobId, ComponentName(context, SipWakeJobService::class.java))
            .setRequiredNetworkType(JobInfo.NETWORK_TYPE_ANY)
            .setExtras(work.value.toExtras())
        if (expedited && Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            expedite(builder)
        } else {
            builder.setBackoffCriteria(BACK_OFF_MS, JobInfo.BACKOFF_POLICY_EXPONENTIAL)
            val wait = work.value.due.values.minOrNull()?.minus(time())
            if (!expedited && work.value.logOuts.isEmpty() && wait != null && wait > 0) builder.setMinimumLatency(wait)
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

    @RequiresApi(31)
    private fun expedite(builder: JobInfo.Builder) {
        builder.setExpedited(true)
    }

    /**
     * @property logOuts accounts with the time since when their log-out waits, in ms since 1970
     * @property due accounts with the time of their next refresh
     */
    data class Work(val logOuts: Map<String, Long> = emptyMap(), val due: Map<String, Long> = emptyMap()) {
        fun isEmpty(): Boolean = logOuts.isEmpty() && due.isEmpty()

        fun isDue(account: AccountId): Boolean = due[account.value]?.let { it <= time() } == true

        fun toExtras() = PersistableBundle().apply {
            logOuts.forEach { (account, since) -> putLong(LOG_OUT + account, since) }
            due.forEach { (account, at) -> putLong(DUE + account, at) }
        }

        companion object {
            private const val LOG_OUT = "log-out:"
            private const val DUE = "due:"

            fun read(extras: PersistableBundle): Work {
                fun all(kind: String) = extras.keySet().filter { it.startsWith(kind) }.associate { it.removePrefix(kind) to extras.getLong(it) }
                return Work(all(LOG_OUT), all(DUE))
            }
        }
    }

    internal companion object {
        private const val BACK_OFF_MS = 30_000L
        private val LONGEST = 31.days

        /** A binding that lives shorter cannot be kept by jobs, which wait for hours while the phone sleeps. */
        private val SHORTEST = 30.minutes

        private fun time() = System.currentTimeMillis()

        /** When to refresh a binding with this lifetime: at half of it, so that a job may be hours late. */
        fun refreshAfter(lifetime: Duration): Duration? = if (lifetime < SHORTEST) null else (lifetime.inWholeMilliseconds / 2).milliseconds
    }
}

/**
 * Finishes what an earlier process could not finish: log-outs, and refreshes that are due. Android starts this service, and its
 * process, when there is a network.
 *
 * Name it in the app's manifest, with the permission `android.permission.BIND_JOB_SERVICE`. With `RECEIVE_BOOT_COMPLETED`, the job
 * survives a restart of the phone.
 */
public class SipWakeJobService : JobService() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private var running: Job? = null

    override fun onStartJob(parameters: JobParameters): Boolean {
        val phone = phone
        running = scope.launch {
            val done = withTimeoutOrNull(PATIENCE) { phone.finishWork() } == true
            jobFinished(parameters, !done)
            phone.endWork(again = !done)
        }
        return true
    }

    /** Android takes the network or the time away: again later. */
    override fun onStopJob(parameters: JobParameters): Boolean {
        running?.cancel()
        phone.endWork(again = true)
        return true
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    private companion object {
        /** Less than the platform's own limit for a job. */
        val PATIENCE = 2.minutes
    }
}
