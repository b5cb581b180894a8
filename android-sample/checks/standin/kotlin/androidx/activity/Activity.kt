// Stands in for androidx.activity, which is not on Maven Central, while the sample is compiled. Never ships.

package androidx.activity

import android.app.Activity

open class ComponentActivity : Activity()
