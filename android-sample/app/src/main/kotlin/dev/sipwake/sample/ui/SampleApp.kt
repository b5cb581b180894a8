package dev.sipwake.sample.ui

import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.safeDrawingPadding
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.material3.Tab
import androidx.compose.material3.TabRow
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import dev.sipwake.TracedMessage
import dev.sipwake.sample.logic.Action
import dev.sipwake.sample.logic.SampleState
import dev.sipwake.sample.logic.Screen

/**
 * All of the app's screens, for one state.
 *
 * @param obstacles what in the phone's settings keeps a call from ringing, in words
 * @param messages the newest messages over the wire, newest first
 */
@Composable
fun SampleApp(
    state: SampleState,
    obstacles: List<String>,
    messages: List<TracedMessage>,
    dispatch: (Action) -> Unit,
    onObstacle: (Int) -> Unit,
    onExport: () -> Unit,
    onReport: () -> Unit = {},
) {
    MaterialTheme {
        Surface(Modifier.fillMaxSize()) {
            val call = state.shown
            when {
                call != null -> CallScreen(call, dispatch)
                state.user == null -> SettingsScreen(state, dispatch)
                else -> Column {
                    TabRow(state.screen.ordinal, Modifier.safeDrawingPadding()) {
                        Tab(state.screen == Screen.STATUS, { dispatch(Action.ScreenChosen(Screen.STATUS)) }, text = { Text("Status") })
                        Tab(state.screen == Screen.TRACE, { dispatch(Action.ScreenChosen(Screen.TRACE)) }, text = { Text("Trace") })
                    }
                    when (state.screen) {
                        Screen.STATUS -> StatusScreen(state, obstacles, dispatch, onObstacle)
                        Screen.TRACE -> TraceScreen(messages, onExport, onReport)
                    }
                }
            }
        }
    }
}
