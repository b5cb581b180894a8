package dev.sipwake

import java.util.UUID
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertTrue

/** The façade for Java, used from Java. */
class FromJavaTest {
    @Test
    fun `an app in Java registers, answers a call and logs out`() {
        MockGateway().use { gateway ->
            FromJava(gateway.address, FIRST_TOKEN).use { app ->
                assertTrue(app.registered.get(PATIENCE_MS, TimeUnit.MILLISECONDS) > 0)
                assertEquals(listOf(FIRST_TOKEN), gateway.tokens())
                val placed = gateway.placeCall()
                val call = app.ringing.get(PATIENCE_MS, TimeUnit.MILLISECONDS).uuid
                app.phone.answer(call).get(PATIENCE_MS, TimeUnit.MILLISECONDS)
                gateway.waitCall(placed, "answered")
                app.phone.hangUp(call).get(PATIENCE_MS, TimeUnit.MILLISECONDS)
                gateway.waitCall(placed, "hung_up_by_callee")
                assertEquals(Kept.DURABLE, app.phone.logOut(app.account).get(PATIENCE_MS, TimeUnit.MILLISECONDS))
                assertEquals(app.account, app.loggedOut.get(PATIENCE_MS, TimeUnit.MILLISECONDS))
                assertTrue(app.heard.any { it.startsWith("REGISTER ") }, "the trace is heard")
            }
        }
    }

    @Test
    fun `what is refused comes as the future's failure, with its kind`() {
        SipWakeClient(MemoryStore()).use { client ->
            val refused = assertFailsWith<ExecutionException> {
                SipWakeFutures(client).answer(UUID(0, 0)).get(PATIENCE_MS, TimeUnit.MILLISECONDS)
            }
            assertEquals(ErrorKind.NO_SUCH_CALL, assertIs<SipWakeException>(refused.cause).kind)
        }
    }
}
