package dev.sipwake.sample.ui

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.rememberScrollState
import androidx.compose.foundation.verticalScroll
import androidx.compose.material3.Button
import androidx.compose.material3.Card
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedButton
import androidx.compose.material3.Switch
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.dp
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.logic.SampleState
import dev.sipwake.sample.logic.Words

@Composable
fun StatusScreen(state: SampleState, obstacles: List<String>, dispatch: (Action) -> Unit, onObstacle: (Int) -> Unit) {
    Column(
        Modifier.fillMaxSize().verticalScroll(rememberScrollState()).padding(20.dp),
        verticalArrangement = Arrangement.spacedBy(12.dp),
    ) {
        Text(state.user?.address.orEmpty(), style = MaterialTheme.typography.titleLarge)
        state.notice?.let { Text(it) }
        Card(Modifier.fillMaxWidth()) {
            Column(Modifier.padding(16.dp), Arrangement.spacedBy(6.dp)) {
                Text(Words.standing(state.registering), style = MaterialTheme.typography.titleMedium)
                for (line in Words.details(state.registering)) Text(line, style = MaterialTheme.typography.bodyMedium)
                Text(Words.token(state.hasToken), style = MaterialTheme.typography.bodyMedium)
            }
        }
        Row(Modifier.fillMaxWidth(), Arrangement.SpaceBetween, Alignment.CenterVertically) {
            Text(Words.quiet(state.quietUntil), Modifier.weight(1f))
            Switch(state.quietUntil != null, { dispatch(Action.DoNotDisturbTapped(it)) })
        }
        obstacles.forEachIndexed { index, obstacle ->
            Row(Modifier.fillMaxWidth(), Arrangement.SpaceBetween, Alignment.CenterVertically) {
                Text(obstacle, Modifier.weight(1f), color = MaterialTheme.colorScheme.error)
                TextButton({ onObstacle(index) }) { Text("Change") }
            }
        }
        if (state.past.isNotEmpty()) Text("Calls", style = MaterialTheme.typography.titleMedium)
        for (call in state.past) {
            Row(Modifier.fillMaxWidth(), Arrangement.SpaceBetween) {
                Text(call.label)
                Text(Words.end(call), style = MaterialTheme.typography.bodyMedium)
            }
        }
        Row(horizontalArrangement = Arrangement.spacedBy(12.dp)) {
            Button({ dispatch(Action.RegisterTapped) }) { Text("Register now") }
            OutlinedButton({ dispatch(Action.LogOutTapped) }) { Text("Log out") }
        }
    }
}
