package dev.sipwake

import java.lang.reflect.Modifier
import java.util.UUID
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit
import kotlin.coroutines.Continuation
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.seconds

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
    fun `a refusal is the future's failure, with its kind`() {
        SipWakeClient(MemoryStore()).use { client ->
            val refused = assertFailsWith<ExecutionException> {
                SipWakeFutures(client).answer(UUID(0, 0)).get(PATIENCE_MS, TimeUnit.MILLISECONDS)
            }
            assertEquals(ErrorKind.NO_SUCH_CALL, assertIs<SipWakeException>(refused.cause).kind)
        }
    }

    @Test
    fun `each setting has a function of its builder, and each suspending function has a future`() {
        fun names(type: Class<*>) = type.methods.filter { it.declaringClass == type }.map { it.name.substringBefore('-') }.toSet()
        fun set(type: Class<*>) = type.declaredFields.filterNot { Modifier.isStatic(it.modifiers) }.map { it.name }.toSet()
        // The required values, which the constructor of a builder takes.
        val given = setOf("aor", "credentials", "provider", "packageName")
        for ((config, builder) in listOf(
            AccountConfig::class to AccountBuilder::class,
            PushConfig::class to PushBuilder::class,
            CallPolicy::class to CallPolicyBuilder::class,
            ClientOptions::class to OptionsBuilder::class,
        )) {
            assertTrue(set(config.java).size > 4, "$config")
            assertEquals(emptySet(), set(config.java) - names(builder.java) - given, "$config")
        }
        // Names with a dollar are internal in Kotlin.
        val suspending = SipWakeClient::class.java.methods.filter { it.parameterTypes.lastOrNull() == Continuation::class.java && '$' !in it.name }
        assertTrue(suspending.size > 20, "$suspending")
        assertEquals(emptySet(), suspending.map { it.name.substringBefore('-') }.toSet() - names(SipWakeFutures::class.java))
    }

    @Test
    fun `a built object has the values of its builder`() {
        val push = PushBuilder(Provider.Fcm, "app").dialects(Dialect.RFC8599).environment(Environment.PRODUCTION).teamId("T").pnParam("p")
            .wakesItself(true).removal(Removal.NULL_PRID).pushCalls(false).pushMessages(false).linphoneParams(mapOf("pn-silent" to "1")).build()
        val all = PushConfig(
            Provider.Fcm, "app", listOf(Dialect.RFC8599), Environment.PRODUCTION, "T", "p", true, Removal.NULL_PRID, false, false, mapOf("pn-silent" to "1"),
        )
        assertEquals(all, push)
        val upper = UpperServer("sip.example.com")
        val account = AccountBuilder("alice@example.com", "x").upper(upper).realm("r").allowCleartextSecrets(true)
            .minimumDigest(DigestAlgorithm.SHA256).requireServerProof(true).ignoreChallengesInCalls(true).sendPiid(true).followObservedAddress(true)
            .push(push).build()
        val config = AccountConfig(
            "alice@example.com", Credentials.Password("x"), upper = upper, realm = "r", allowCleartextSecrets = true,
            minimumDigest = DigestAlgorithm.SHA256, requireServerProof = true, ignoreChallengesInCalls = true, sendPiid = true, followObservedAddress = true,
        )
        assertEquals(AccountSetup(config, all), account)
        val policy = CallPolicyBuilder().window(1).ringLimit(2).midCallWakeups(true).sessionProgress(true).reconfirm(true).build()
        assertEquals(CallPolicy(1.seconds, 2.seconds, midCallWakeups = true, sessionProgress = true, reconfirm = true), policy)
    }
}
