package dev.sipwake

/** On a desktop there is no other judge, because the library has Mozilla's list there. */
internal fun systemTrust(): ServerTrust? = null

/** Java's only interface for SRV records is JNDI, which few JVMs still have. */
internal fun systemResolver(): Resolver? = null
