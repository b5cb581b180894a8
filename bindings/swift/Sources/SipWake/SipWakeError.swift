import Foundation
import SipWakeFFI

/// Why a call failed. The case is stable, so apps can branch on it. Its reason is for developers and logs, and holds no secret.
public enum SipWakeError: Error, Equatable, Sendable {
    /// A field was refused. Nothing was sent and nothing was stored.
    case invalidField(name: String, reason: String)
    /// The account was never added, or is logged out.
    case noSuchAccount(reason: String)
    /// The account has no push settings.
    case noPush(reason: String)
    /// No call with that id is announced or ringing.
    case noSuchCall(reason: String)
    /// No REGISTER of that number was written, the tags of none were taken, or nothing is left to be sent.
    case noSuchRegister(reason: String)
    /// The store cannot be read or written now, and this is of use only when it is stored.
    case store(reason: String)
    /// The client has been shut down.
    case shutDown(reason: String)
    /// The system refused something that the client needs, or the app made this call from inside a callback.
    case unavailable(reason: String)
    /// A bug in sipwake. The app can continue.
    case bug(reason: String)
}

extension SipWakeError: LocalizedError {
    public var errorDescription: String? {
        switch self {
        case .invalidField(let name, let reason): "\(name): \(reason)"
        case .noSuchAccount(let reason), .noPush(let reason), .noSuchCall(let reason),
            .noSuchRegister(let reason), .store(let reason), .shutDown(let reason), .unavailable(let reason), .bug(let reason):
            reason
        }
    }
}

func translated(_ error: any Error) -> any Error {
    switch error {
    case let error as SipWakeFFI.SipWakeError:
        switch error {
        case .InvalidField(let field, let reason): SipWakeError.invalidField(name: field, reason: reason)
        case .NoSuchAccount(let reason): SipWakeError.noSuchAccount(reason: reason)
        case .NoPush(let reason): SipWakeError.noPush(reason: reason)
        case .NoSuchCall(let reason): SipWakeError.noSuchCall(reason: reason)
        case .NoSuchRegister(let reason): SipWakeError.noSuchRegister(reason: reason)
        case .Store(let reason): SipWakeError.store(reason: reason)
        case .ShutDown(let reason): SipWakeError.shutDown(reason: reason)
        case .Unavailable(let reason): SipWakeError.unavailable(reason: reason)
        }
    case is CancellationError, is SipWakeError: error
    // UniFFI's own error, private to the generated code. A panic becomes this.
    default: SipWakeError.bug(reason: error.localizedDescription)
    }
}

func translating<T>(_ work: () throws -> T) throws -> T {
    do { return try work() } catch { throw translated(error) }
}

/// Waits for Rust, but not longer than the task wants to. UniFFI's Swift does not drop a future whose task was cancelled, so the command
/// is still carried out.
func waiting<T: Sendable>(_ work: @escaping @Sendable () async throws -> T) async throws -> T {
    try Task.checkCancellation()
    let outcome = Outcome<T>()
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
            outcome.deliver(to: continuation)
            Task {
                do { outcome.settle(.success(try await work())) } catch { outcome.settle(.failure(translated(error))) }
            }
        }
    } onCancel: {
        outcome.settle(.failure(CancellationError()))
    }
}

/// Takes the first of several results to the waiting caller.
private final class Outcome<T: Sendable>: @unchecked Sendable {
    // Guards both fields.
    private let lock = NSLock()
    private var result: Result<T, any Error>?
    private var continuation: CheckedContinuation<T, any Error>?

    func deliver(to continuation: CheckedContinuation<T, any Error>) {
        let result = lock.withLock {
            if self.result == nil { self.continuation = continuation }
            return self.result
        }
        if let result { continuation.resume(with: result) }
    }

    func settle(_ result: Result<T, any Error>) {
        let continuation = lock.withLock {
            guard self.result == nil else { return nil as CheckedContinuation<T, any Error>? }
            self.result = result
            defer { self.continuation = nil }
            return self.continuation
        }
        continuation?.resume(with: result)
    }
}
