package dev.sipwake.sample.android

import android.os.Handler
import android.util.Log
import dev.sipwake.sample.logic.Call
import dev.sipwake.sample.logic.CallDisplay
import dev.sipwake.sample.logic.Ring
import java.util.UUID

/** Rings in the way that Android allows for the call, and tells Telecom of it. */
class CallsOnScreen(private val app: SampleApplication, private val main: Handler) : CallDisplay {
    override fun startRinging(call: Call) {
        if (call.ring != Ring.BY_SERVICE || !CallService.start(app)) CallNotifications.show(app, call)
        main.post { announce(call) }
    }

    override fun showChange(call: Call): Unit = refresh()

    override fun takeAway(call: UUID): Unit = refresh()

    /** The service, where it runs, follows the state by itself. */
    private fun refresh() {
        if (CallService.running) return
        when (val shown = app.phone.state.value.shown) {
            null -> CallNotifications.cancel(app)
            else -> CallNotifications.show(app, shown)
        }
    }

    private fun announce(call: Call) {
        try {
            app.telecom?.announce(call.uuid, call.number, call.name)
        } catch (error: SecurityException) {
            // The call goes on without headsets and cars.
            Log.w("sipwake-sample", "Telecom refused the call: $error")
        }
    }
}
