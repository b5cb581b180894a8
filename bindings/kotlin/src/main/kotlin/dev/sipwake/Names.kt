package dev.sipwake

// Plain enums and records without secrets need no Kotlin of their own.

/** The transport that a flow runs on. */
public typealias Transport = dev.sipwake.ffi.Transport

/** The hash that a digest challenge asks for (RFC 7616 section 6.1). */
public typealias DigestAlgorithm = dev.sipwake.ffi.DigestAlgorithm

/** Mizutech's `X-Sy.*` request headers: which SIP server stands behind the gateway. */
public typealias UpperServer = dev.sipwake.ffi.UpperServer

/** Which of APNs' two worlds a token belongs to. */
public typealias Environment = dev.sipwake.ffi.Environment

/** A way of telling the server where to push to. */
public typealias Dialect = dev.sipwake.ffi.Dialect

/** How a binding is taken away under RFC 8599, where servers disagree. */
public typealias Removal = dev.sipwake.ffi.Removal

/** The way a push came to the app. */
public typealias Channel = dev.sipwake.ffi.Channel

/** The priority of an FCM message. */
public typealias Priority = dev.sipwake.ffi.Priority

/** What the app was doing when a push came. */
public typealias AppState = dev.sipwake.ffi.AppState

/** What the operating system says about a push beside its content. */
public typealias PushHints = dev.sipwake.ffi.PushHints

/** Whose payload a push carries. */
public typealias Vendor = dev.sipwake.ffi.Vendor

/** Why a payload could not be understood. */
public typealias PayloadProblem = dev.sipwake.ffi.PayloadProblem

/** Why a push asks for nothing. */
public typealias IgnoreReason = dev.sipwake.ffi.IgnoreReason

/** Whether the app may count on being woken. */
public typealias Standing = dev.sipwake.ffi.Standing

/** What a response says about push. */
public typealias Verdict = dev.sipwake.ffi.Verdict

/** Why a registration failed, coarsely. */
public typealias FailureKind = dev.sipwake.ffi.FailureKind

/** Why something from the network was dropped. */
public typealias DiscardReason = dev.sipwake.ffi.DiscardReason

/** How a call ended. */
public typealias EndReason = dev.sipwake.ffi.EndReason

/** Who calls. */
public typealias Caller = dev.sipwake.ffi.Caller

/** How a ringing call is declined. */
public typealias DeclineHow = dev.sipwake.ffi.DeclineHow

/** What became of a token. */
public typealias TokenOutcome = dev.sipwake.ffi.TokenOutcome

/** How much is logged. */
public typealias LogLevel = dev.sipwake.ffi.LogLevel

/** One line of the log. It holds no secrets. */
public typealias LogRecord = dev.sipwake.ffi.LogRecord
