package dev.sipwake.sample.ui

import androidx.compose.foundation.horizontalScroll
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.safeDrawingPadding
import androidx.compose.foundation.rememberScrollState
import androidx.compose.foundation.verticalScroll
import androidx.compose.material3.Button
import androidx.compose.material3.FilterChip
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedTextField
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.text.input.PasswordVisualTransformation
import androidx.compose.ui.text.input.VisualTransformation
import androidx.compose.ui.unit.dp
import dev.sipwake.Transport
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.logic.Field
import dev.sipwake.sample.logic.SampleState
import dev.sipwake.sample.logic.Settings

@Composable
fun SettingsScreen(state: SampleState, dispatch: (Action) -> Unit) {
    val settings = state.settings
    fun edit(changed: Settings) = dispatch(Action.Edited(changed))

    Column(
        Modifier.fillMaxSize().verticalScroll(rememberScrollState()).safeDrawingPadding().padding(20.dp),
        verticalArrangement = Arrangement.spacedBy(8.dp),
    ) {
        Text("Server and account", style = MaterialTheme.typography.headlineSmall)
        state.notice?.let { Text(it, style = MaterialTheme.typography.bodyMedium) }
        state.problem?.takeIf { it.field == null }?.let { Text(it.reason, color = MaterialTheme.colorScheme.error) }
        Entry(state, Field.SERVER, "Push gateway", settings.server, "host:port; empty if the server pushes itself") { edit(settings.copy(server = it)) }
        Entry(state, Field.ADDRESS, "SIP address", settings.address, "sip:alice@example.com") { edit(settings.copy(address = it)) }
        Entry(state, Field.PASSWORD, "Password", settings.password, null, secret = true) { edit(settings.copy(password = it)) }
        Entry(state, Field.LOGIN, "Login name", settings.login, "if it is another than the address's") { edit(settings.copy(login = it)) }
        Entry(state, Field.PROJECT, "Firebase project", settings.project, "what the server knows this app by") { edit(settings.copy(project = it)) }
        Row(Modifier.horizontalScroll(rememberScrollState()), horizontalArrangement = Arrangement.spacedBy(4.dp)) {
            for (transport in Transport.entries) {
                FilterChip(settings.transport == transport, { edit(settings.copy(transport = transport)) }, { Text(transport.name) })
            }
        }
        Button({ dispatch(Action.LogInTapped) }, Modifier.fillMaxWidth()) { Text("Log in") }
    }
}

@Composable
private fun Entry(
    state: SampleState,
    field: Field,
    label: String,
    value: String,
    hint: String?,
    secret: Boolean = false,
    onChange: (String) -> Unit,
) {
    val problem = state.problem?.takeIf { it.field == field }?.reason
    OutlinedTextField(
        value = value,
        onValueChange = onChange,
        modifier = Modifier.fillMaxWidth(),
        label = { Text(label) },
        supportingText = (problem ?: hint)?.let { { Text(it) } },
        isError = problem != null,
        singleLine = true,
        visualTransformation = if (secret) PasswordVisualTransformation() else VisualTransformation.None,
    )
}
