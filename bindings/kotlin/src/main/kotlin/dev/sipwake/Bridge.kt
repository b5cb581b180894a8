package dev.sipwake

/** The value of the same name on the other side of the bridge to Rust. A test checks that both sides have the same names. */
internal inline fun <reified T : Enum<T>> Enum<*>.named(): T = enumValueOf(name)
