package dev.sipwake.android

import android.app.job.JobInfo
import android.app.job.JobParameters
import android.app.job.JobScheduler
import android.app.job.JobService
import android.content.ComponentName
import android.content.Context
import dev.sipwake.AccountId
import dev.sipwake.SipWakeCompanion
import dev.sipwake.SipWakeException
import java.time.Instant
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull

/**
 * Makes another SIP stack register, and deliver the log-outs that its process could not deliver. Android starts this service, and
 * its process, when there is a network. [schedule] it after each [SipWakeCompanion.logOut], and for the time when do not disturb is
 * over, because no push starts a process then.
 *
 * Name it in the app's manifest, with the permission `android.permission.BIND_JOB_SERVICE`. With `RECEIVE_BOOT_COMPLETED`, the job
 * survives a restart of the phone.
 */
public abstract class SipWakeCompanionJobService : JobService() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)

    /** By their ids: Android runs all jobs of a service on one instance. Used on the main thread alone. */
    private val running = mutableMapOf<Int, Job>()

    /** Returns the process's one companion. Its stack must be able to register even if nobody is logged in. */
    protected abstract fun companion(): SipWakeCompanion

    /** Returns the accounts whose bindings are renewed: the companion's accounts of logged-in users. */
    protected open fun accounts(): List<AccountId> = emptyList()

    override fun onStartJob(parameters: JobParameters): Boolean {
        val companion = companion()
        val accounts = accounts()
        running[parameters.jobId] = scope.launch {
            val done = withTimeoutOrNull(PATIENCE) { finishes(companion, accounts) } == true
            jobFinished(parameters, !done)
        }
        return true
    }

    /** Android takes the network or the time away: again later. */
    override fun onStopJob(parameters: JobParameters): Boolean {
        running.remove(parameters.jobId)?.cancel()
        return true
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    private suspend fun finishes(companion: SipWakeCompanion, accounts: List<AccountId>): Boolean = try {
        companion.finishWork(accounts)
    } catch (_: SipWakeException) {
        // The app has closed it, or somebody logged out in the meantime.
        false
    }

    public companion object {
        private const val BACK_OFF_MS = 30_000L

        /** Less than the platform's own limit for a job. */
        private val PATIENCE = 2.minutes

        /**
         * Asks Android to start the service as soon as there is a network. It starts again with back-off until no log-out is left
         * and each account is registered.
         *
         * @param jobId an id that no other job of the app has
         * @param service the app's own subclass
         * @param notBefore when to start it at the earliest
         * @return false if the app's manifest does not have it, or the app has too many jobs
         */
        @JvmStatic
        @JvmOverloads
        public fun schedule(
            context: Context,
            jobId: Int,
            service: Class<out SipWakeCompanionJobService>,
            notBefore: Instant? = null,
        ): Boolean {
            val job = JobInfo.Builder(jobId, ComponentName(context, service))
                .setRequiredNetworkType(JobInfo.NETWORK_TYPE_ANY)
                .setBackoffCriteria(BACK_OFF_MS, JobInfo.BACKOFF_POLICY_EXPONENTIAL)
                .setPersisted(survivesRestart(context))
                .also { job -> notBefore?.let { job.setMinimumLatency(maxOf(0, it.toEpochMilli() - System.currentTimeMillis())) } }
                .build()
            return try {
                context.system<JobScheduler>().schedule(job) == JobScheduler.RESULT_SUCCESS
            } catch (_: IllegalArgumentException) {
                false
            } catch (_: IllegalStateException) {
                false
            }
        }
    }
}
