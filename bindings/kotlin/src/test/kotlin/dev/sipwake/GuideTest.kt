package dev.sipwake

import java.io.File
import java.util.UUID
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull

/** The snippets of docs/kotlin.md, compiled and run. */
class GuideTest {
    private val rung = CopyOnWriteArrayList<String>()

    private fun ring(event: SipWakeEvent.CallRinging) {
        rung += event.caller.uri
    }

    private fun stopRinging(event: SipWakeEvent.CallEnded) {
        rung -= event.uuid.toString()
    }

    private fun warn(text: String) = println(text)

    private fun setUp(gateway: MockGateway): Pair<SipWakeClient, AccountId> {
        val store = Memory()
        val address = gateway.address
        // docs:client
        val setup = AccountSetup(
            AccountConfig("sip:alice@mock.example", "wonderland").copy(gateways = listOf(address)),
            PushConfig(Provider.Fcm, "com.example.app"),
        )
        val client = SipWakeClient(store, listOf(setup))
        val alice = setup.account.id()
        // docs:end
        return client to alice
    }

    // docs:events
    private fun listen(scope: CoroutineScope, client: SipWakeClient): Job = scope.launch {
        client.events.collect { event ->
            when (event) {
                is SipWakeEvent.Registered -> {
                    val verdict = event.registration.verdict
                    if (verdict.standing != Standing.CONFIRMED) warn("${verdict.reason}; ${verdict.advice}")
                }
                is SipWakeEvent.RegistrationFailed -> warn(event.reason)
                is SipWakeEvent.CallRinging -> ring(event)
                is SipWakeEvent.CallEnded -> stopRinging(event)
                else -> {}
            }
        }
    }
    // docs:end

    @Test
    fun `the guide leads to a first wake-up`() = runBlocking {
        MockGateway().use { gateway ->
            val (client, alice) = setUp(gateway)
            val listening = listen(CoroutineScope(Dispatchers.Default), client)
            val token = FIRST_TOKEN
            // docs:start
            client.setToken(alice, token)
            client.register(alice)
            // docs:end
            gateway.await { tokens() == listOf(token) }
            gateway.sleep()
            gateway.placeCall()
            val data = gateway.nextPush()
            // docs:push
            val action = client.push(data, hints = PushHints(deliveredPriority = Priority.HIGH))
            // docs:end
            assertEquals(Duty.StartForegroundService, action.duty)
            gateway.await { rung.isNotEmpty() }
            // docs:logout
            client.logOut(alice)
            // docs:end
            gateway.await { bindings().isEmpty() }
            client.close()
            listening.join()
        }
    }

    /** Takes the place of the app's WebRTC. */
    private class Media {
        val heard = CopyOnWriteArrayList<String>()
        suspend fun describe(offer: SessionDescription?) = SessionDescription("v=0\r\ns=${offer != null}\r\n")
        fun start() = heard.add("start")
        fun stop() = heard.add("stop")
    }

    // docs:media
    private suspend fun onCall(event: SipWakeEvent.Call, client: SipWakeClient, media: Media) {
        when (event) {
            is SipWakeEvent.CallAnswerWanted -> client.accept(event.uuid, media.describe(event.offer))
            is SipWakeEvent.CallConnected -> media.start()
            is SipWakeEvent.CallOffered -> client.respondOffer(event.uuid, media.describe(event.offer))
            is SipWakeEvent.CallEnded -> media.stop()
            else -> {}
        }
    }
    // docs:end

    @Test
    fun `the guide answers a call`() = runBlocking {
        MockGateway().use { gateway ->
            val setup = alice(gateway)
            val media = Media()
            val store = Memory()
            // docs:options
            val options = ClientOptions(
                decryptor = { payload -> if (payload is PushPayload.Fields) open(payload.entries["box"]) else null },
                trace = { message -> log("${if (message.sent) "to" else "from"} flow ${message.flow}: ${message.text}") },
            )
            val client = SipWakeClient(store, listOf(setup), options = options)
            // docs:end
            client.use {
                launch(Dispatchers.Default) {
                    client.events.collect { event ->
                        if (event is SipWakeEvent.CallRinging) rung += "${event.uuid}"
                        if (event is SipWakeEvent.Call) onCall(event, client, media)
                    }
                }
                client.setToken(setup.account.id(), FIRST_TOKEN)
                client.register(setup.account.id())
                gateway.await { tokens() == listOf(FIRST_TOKEN) }
                val placed = gateway.placeCall()
                gateway.await { rung.isNotEmpty() }
                val call = UUID.fromString(rung.single())
                // docs:answer
                client.answer(call)
                // docs:end
                gateway.await { media.heard == listOf("start") }
                // docs:hangup
                client.hangUp(call)
                // docs:end
                gateway.waitCall(placed, "hung_up_by_callee")
                gateway.await { media.heard == listOf("start", "stop") }
                assertTrue(logged.any { "REGISTER" in it }, "$logged")
            }
        }
    }

    private val logged = CopyOnWriteArrayList<String>()

    private fun log(text: String) {
        logged += text
    }

    private fun open(box: String?): Map<String, String>? = box?.let { mapOf("ntype" to "0", "nfrom" to it) }

    private suspend fun MockGateway.await(condition: MockGateway.() -> Boolean) {
        val held = withTimeoutOrNull(PATIENCE_MS) {
            while (!condition()) kotlinx.coroutines.delay(20)
            true
        }
        assertTrue(held == true, "it did not happen in time")
    }

    @Test
    fun `each snippet of the guides is part of a test`() {
        val root = generateSequence(File("").absoluteFile) { it.parentFile }.first { File(it, "docs/kotlin.md").exists() }
        val sources = File(root, "bindings/kotlin/src").walk().filter { it.extension == "kt" && ("/test/" in it.path || "/androidTest/" in it.path) }
        val tested = sources.flatMap { snippets(it.readText()) }.toSet()
        for ((page, least) in listOf("kotlin.md" to 6, "beside.md" to 2)) {
            val text = File(root, "docs/$page").readText()
            val shown = Regex("```kotlin\n(.*?)```", RegexOption.DOT_MATCHES_ALL).findAll(text).map { it.groupValues[1].trimEnd() }
            assertEquals(emptyList(), shown.filterNot { it in tested }.toList(), page)
            assertTrue(shown.count() >= least, page)
        }
    }

    private fun snippets(source: String): List<String> =
        Regex("// docs:[a-z]+\n(.*?)\\s*// docs:end", RegexOption.DOT_MATCHES_ALL)
            .findAll(source)
            .map { it.groupValues[1].trimIndent().trimEnd() }
            .toList()
}
