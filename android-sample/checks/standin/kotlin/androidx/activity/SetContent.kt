// Stands in for androidx.activity:activity-compose, which is not on Maven Central, while the sample is compiled. Never ships.

package androidx.activity.compose

import androidx.activity.ComponentActivity
import androidx.compose.runtime.Composable
import androidx.compose.runtime.CompositionContext

@Suppress("UNUSED_PARAMETER", "UnusedReceiverParameter")
fun ComponentActivity.setContent(parent: CompositionContext? = null, content: @Composable () -> Unit) {}
