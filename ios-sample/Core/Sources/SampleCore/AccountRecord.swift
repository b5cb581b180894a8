import Foundation
import SipWake

/// Who is logged in, as it is kept. The store is the Keychain on a phone: a push may come before anybody unlocked the screen.
struct AccountRecord: Codable, Equatable {
    private static let key = "sample-account"

    var current: AccountSettings?
    /// Who logged out, until the SDK has taken note of it: a process that is killed in between makes up for it at its next start.
    var leaving: [AccountSettings] = []

    static func load(from store: any StateStore) throws -> Self {
        guard let bytes = try store.load(key: key) else { return Self() }
        return try JSONDecoder().decode(Self.self, from: bytes)
    }

    func save(in store: any StateStore) throws {
        if self == Self() { return try store.remove(key: Self.key) }
        try store.save(key: Self.key, bytes: try JSONEncoder().encode(self))
    }
}

extension AccountRecord {
    /// Logs out the user who was logged in when the app was deleted, and leaves the marker. If that cannot be known, it changes nothing.
    mutating func takeOver(_ firstRun: FirstRun, _ store: any StateStore) throws {
        guard case .fresh = firstRun.state() else { return }
        if let former = current {
            current = nil
            leaving.append(former)
            try save(in: store)
        }
        try firstRun.markKnown()
    }
}

/// Returns whether nobody is logged in, so that no push may be shown. Of a store that cannot be read nothing is said. For the
/// extension, which writes nothing.
public func isLoggedOut(in store: any StateStore) -> Bool {
    (try? AccountRecord.load(from: store)).map { $0.current == nil } ?? false
}

/// Returns the key for encrypted pushes that the user gave, if there is one. For the app and its extension, which has no model.
public func payloadKey(in store: any StateStore) -> Data? {
    try? AccountRecord.load(from: store).current?.key()
}
