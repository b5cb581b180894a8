package dev.sipwake.sample.android

import android.app.Application
import android.content.Context
import com.google.firebase.FirebaseApp
import dev.sipwake.AccountId
import dev.sipwake.AccountSetup
import dev.sipwake.ClientOptions
import dev.sipwake.SipWakeClient
import dev.sipwake.TraceListener
import dev.sipwake.android.InactiveMedia
import dev.sipwake.android.KeystoreStateStore
import dev.sipwake.android.PhoneSettings
import dev.sipwake.android.PhoneWords
import dev.sipwake.android.SipWakePhone
import dev.sipwake.android.SipWakePhoneOwner
import dev.sipwake.sample.R
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.logic.Line
import dev.sipwake.sample.logic.Sample
import dev.sipwake.sample.logic.Settings
import dev.sipwake.sample.logic.TraceLog
import java.time.Instant
import java.util.UUID
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.launch

/** Makes the one phone of the process, before Firebase hands over the push that started it. */
class SampleApplication : Application(), SipWakePhoneOwner {
    override lateinit var phone: SipWakePhone
        private set
    lateinit var sample: Sample
        private set

    override fun onCreate() {
        super.onCreate()
        val records = KeystoreStateStore(this)
        val trace = TraceLog()
        val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
        val options = ClientOptions(trace = TraceListener(trace::add))
        phone = SipWakePhone(this, settings(), InactiveMedia, { records }, options) {
            listOfNotNull(Settings.savedIn(records)?.setup())
        }
        sample = Sample(records, PhoneLine(phone), trace, scope, Settings(project = FirebaseApp.getInstance().options.projectId.orEmpty()))
        scope.launch { phone.refusals.collect { sample.dispatch(Action.Failed("${it.what}: ${it.reason}")) } }
        phone.start()
    }

    private fun settings() = PhoneSettings(
        icon = R.drawable.ic_call,
        callScreen = CallActivity::class.java,
        openApp = MainActivity::class.java,
        words = PhoneWords(
            answer = getString(R.string.answer),
            decline = getString(R.string.decline),
            hangUp = getString(R.string.hang_up),
            incomingCalls = getString(R.string.incoming_calls),
            currentCall = getString(R.string.ongoing_calls),
        ),
        telecom = true,
    )
}

/** The SDK's phone, as the app's logic asks for it. */
private class PhoneLine(private val phone: SipWakePhone) : Line {
    override suspend fun client(): SipWakeClient = phone.client()
    override suspend fun logIn(setup: AccountSetup): AccountId = phone.logIn(setup)
    override suspend fun logOut(account: AccountId) {
        phone.logOut(account)
    }

    override suspend fun setDoNotDisturb(account: AccountId, until: Instant?) {
        phone.setDoNotDisturb(account, until)
    }

    override suspend fun answer(call: UUID): Unit = phone.answer(call)
    override suspend fun hangUp(call: UUID): Unit = phone.hangUp(call)
}

val Context.app: SampleApplication get() = applicationContext as SampleApplication
