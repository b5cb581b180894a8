// Replaces androidx.activity, which is not on Maven Central, when the sample is compiled. It is never shipped.

package androidx.activity

import android.app.Activity

open class ComponentActivity : Activity()
