package dev.sipwake.sample.ui

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.material3.Button
import androidx.compose.material3.HorizontalDivider
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedButton
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.text.font.FontFamily
import androidx.compose.ui.text.style.TextOverflow
import androidx.compose.ui.unit.dp
import dev.sipwake.TracedMessage
import dev.sipwake.sample.logic.TraceLog

@Composable
fun TraceScreen(messages: List<TracedMessage>, onExport: () -> Unit, onReport: () -> Unit) {
    Column(Modifier.fillMaxSize().padding(20.dp), Arrangement.spacedBy(12.dp)) {
        Row(horizontalArrangement = Arrangement.spacedBy(12.dp)) {
            Button(onExport, enabled = messages.isNotEmpty()) { Text("Export") }
            OutlinedButton(onReport) { Text("Share report") }
        }
        LazyColumn(verticalArrangement = Arrangement.spacedBy(6.dp)) {
            items(messages) { message ->
                Text(
                    TraceLog.firstLine(message),
                    style = MaterialTheme.typography.bodyMedium.copy(fontFamily = FontFamily.Monospace),
                    maxLines = 1,
                    overflow = TextOverflow.Ellipsis,
                )
                Text(TraceLog.heading(message), style = MaterialTheme.typography.bodySmall)
                HorizontalDivider()
            }
        }
    }
}
