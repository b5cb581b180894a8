package dev.sipwake

import java.io.File
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
    private val rung = mutableListOf<String>()

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

    private suspend fun MockGateway.await(condition: MockGateway.() -> Boolean) {
        val held = withTimeoutOrNull(10_000) {
            while (!condition()) kotlinx.coroutines.delay(20)
            true
        }
        assertTrue(held == true, "it did not happen in time")
    }

    @Test
    fun `each snippet of the guide stands in a test`() {
        val root = generateSequence(File("").absoluteFile) { it.parentFile }.first { File(it, "docs/kotlin.md").exists() }
        val sources = File(root, "bindings/kotlin/src").walk().filter { it.extension == "kt" && ("/test/" in it.path || "/androidTest/" in it.path) }
        val tested = sources.flatMap { snippets(it.readText()) }.toSet()
        val page = File(root, "docs/kotlin.md").readText()
        val shown = Regex("```kotlin\n(.*?)```", RegexOption.DOT_MATCHES_ALL).findAll(page).map { it.groupValues[1].trimEnd() }
        val untested = shown.filterNot { it in tested }.toList()
        assertEquals(emptyList(), untested)
        assertTrue(shown.count() >= 6)
    }

    private fun snippets(source: String): List<String> =
        Regex("// docs:[a-z]+\n(.*?)\\s*// docs:end", RegexOption.DOT_MATCHES_ALL)
            .findAll(source)
            .map { it.groupValues[1].trimIndent().trimEnd() }
            .toList()
}
