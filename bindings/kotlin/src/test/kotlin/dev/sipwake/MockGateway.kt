package dev.sipwake

/** The class that apps get with `sipwake-testing`. */
typealias MockGateway = dev.sipwake.testing.MockGateway

const val PATIENCE_MS = dev.sipwake.testing.PATIENCE_MS
