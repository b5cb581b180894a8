package dev.sipwake.android

import android.app.Application

/** An `Application` that has a [SipWakePhone] and starts it. If the app has its own `Application`, make that a [SipWakePhoneOwner]. */
public abstract class SipWakeApplication : Application(), SipWakePhoneOwner {
    final override val phone: SipWakePhone by lazy { makePhone() }

    /** Makes the one phone of the process. */
    protected abstract fun makePhone(): SipWakePhone

    override fun onCreate() {
        super.onCreate()
        phone.start()
    }
}
