// Replaces androidx.activity:activity-compose, which is not on Maven Central, when the sample is compiled. It is never shipped.

package androidx.activity.compose

import androidx.activity.ComponentActivity
import androidx.compose.runtime.Composable
import androidx.compose.runtime.CompositionContext

@Suppress("UNUSED_PARAMETER", "UnusedReceiverParameter")
fun ComponentActivity.setContent(parent: CompositionContext? = null, content: @Composable () -> Unit) {}
