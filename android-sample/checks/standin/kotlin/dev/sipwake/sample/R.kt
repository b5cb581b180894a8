// Stands in for the class that Android's build tools generate from app/src/main/res. Never ships.

package dev.sipwake.sample

object R {
    object string {
        const val app_name = 1
        const val incoming_calls = 2
        const val ongoing_calls = 3
        const val answer = 4
        const val decline = 5
        const val hang_up = 6
    }

    object drawable {
        const val ic_call = 7
    }
}
