import CryptoKit
import Foundation
import SampleCore
import SipWake

/// What the app and its extension open pushes with. The store is the Keychain group that both share: it is the first of their
/// groups, where the Keychain puts what names no group.
let keychain = KeychainStateStore(service: "sipwake-sample")

let payloadOpener = SealedPayload { sealed in
    guard let key = payloadKey(in: keychain) else { throw NoPayloadKey() }
    return try AES.GCM.open(try AES.GCM.SealedBox(combined: sealed), using: SymmetricKey(data: key))
}

struct NoPayloadKey: Error {}
