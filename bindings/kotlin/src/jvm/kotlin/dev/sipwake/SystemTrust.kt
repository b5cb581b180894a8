package dev.sipwake

/** Nobody is asked on a desktop: the library has Mozilla's list there. */
internal fun systemTrust(): ServerTrust? = null
