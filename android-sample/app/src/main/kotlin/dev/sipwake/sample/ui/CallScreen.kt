package dev.sipwake.sample.ui

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.Spacer
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.safeDrawingPadding
import androidx.compose.material3.Button
import androidx.compose.material3.ButtonDefaults
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.text.style.TextAlign
import androidx.compose.ui.unit.dp
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.logic.Call
import dev.sipwake.sample.logic.Phase
import dev.sipwake.sample.logic.Words

private val Green = Color(0xFF1B7F3B)
private val Red = Color(0xFFB3261E)

@Composable
fun CallScreen(call: Call, dispatch: (Action) -> Unit) {
    Column(Modifier.fillMaxSize().safeDrawingPadding().padding(32.dp), horizontalAlignment = Alignment.CenterHorizontally) {
        Spacer(Modifier.weight(1f))
        Text(call.label, style = MaterialTheme.typography.displaySmall, textAlign = TextAlign.Center)
        if (call.name != null && call.number != call.name) Text(call.number, style = MaterialTheme.typography.bodyLarge)
        Text(Words.phase(call.phase), Modifier.padding(top = 16.dp), style = MaterialTheme.typography.titleMedium)
        Spacer(Modifier.weight(1f))
        Text("This sample has no media engine: nothing is sent, nothing is heard.", textAlign = TextAlign.Center)
        Spacer(Modifier.weight(1f))
        Row(Modifier.fillMaxWidth(), Arrangement.SpaceEvenly) {
            if (call.phase < Phase.ANSWERING) {
                Choice("Decline", Red) { dispatch(Action.HangUpTapped(call.uuid)) }
                Choice("Answer", Green) { dispatch(Action.AnswerTapped(call.uuid)) }
            } else {
                Choice("Hang up", Red) { dispatch(Action.HangUpTapped(call.uuid)) }
            }
        }
    }
}

@Composable
private fun Choice(text: String, color: Color, onClick: () -> Unit) {
    Button(onClick, colors = ButtonDefaults.buttonColors(containerColor = color, contentColor = Color.White)) {
        Text(text, Modifier.padding(8.dp))
    }
}
