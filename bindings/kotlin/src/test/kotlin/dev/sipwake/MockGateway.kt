package dev.sipwake

/** The driver that apps get as `sipwake-testing`. */
typealias MockGateway = dev.sipwake.testing.MockGateway

const val PATIENCE_MS = dev.sipwake.testing.PATIENCE_MS
