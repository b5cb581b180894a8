package dev.sipwake

/** Nobody is asked on a desktop: the library has Mozilla's list there. */
internal fun systemTrust(): ServerTrust? = null

/** Java has no interface for SRV records but JNDI, which few JVMs still have. */
internal fun systemResolver(): Resolver? = null
