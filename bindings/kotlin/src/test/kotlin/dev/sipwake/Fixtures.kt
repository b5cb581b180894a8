package dev.sipwake

import java.util.concurrent.ConcurrentHashMap
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.Channel as Queue
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeout

const val FIRST_TOKEN = "c-10-ap_Kt0:APA91bFirstTokenOfThisPhone0001"
const val SECOND_TOKEN = "c-10-ap_Kt0:APA91bSecondTokenOfThisPhone02"

/** Keeps records after a client has ended, as a phone's flash does. */
class Memory : StateStore {
    val records = ConcurrentHashMap<String, ByteArray>()
    override fun load(key: String): ByteArray? = records[key]
    override fun save(key: String, bytes: ByteArray) {
        records[key] = bytes
    }

    override fun remove(key: String) {
        records.remove(key)
    }
}

fun alice(gateway: MockGateway? = null, transport: Transport? = null) = AccountSetup(
    AccountConfig("sip:alice@mock.example", "wonderland").copy(
        gateways = listOfNotNull(gateway?.address),
        transport = transport,
        userAgent = "sipwake-kotlin-test/1",
    ),
    PushConfig(Provider.Fcm, "com.example.app"),
)

/** One run of the app, from its start until the system kills it. */
class App(store: StateStore, setup: AccountSetup, options: ClientOptions = ClientOptions()) : AutoCloseable {
    val account = setup.account.id()
    val client = SipWakeClient(store, listOf(setup), options = options)
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private val events = Queue<SipWakeEvent>(Queue.UNLIMITED)

    init {
        scope.launch {
            client.events.collect { events.send(it) }
        }
    }

    fun takePush(data: Map<String, String>): PushAction =
        client.push(data, hints = PushHints(deliveredPriority = Priority.HIGH, originalPriority = Priority.HIGH))

    suspend inline fun <reified E : SipWakeEvent> next(noinline wanted: (E) -> Boolean = { true }): E =
        wait { it is E && wanted(it) } as E

    suspend fun wait(wanted: (SipWakeEvent) -> Boolean): SipWakeEvent = withTimeout(PATIENCE_MS) {
        while (true) {
            val event = events.receive()
            if (event is SipWakeEvent.RegistrationFailed) error("$event")
            if (wanted(event)) return@withTimeout event
        }
        error("unreachable")
    }

    override fun close() {
        client.close()
        scope.cancel()
    }
}
