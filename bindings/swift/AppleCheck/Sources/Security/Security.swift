import Foundation

// The part of Core Foundation that the Keychain's queries need.
public typealias CFString = String
public typealias CFDictionary = [String: Any]
public typealias CFTypeRef = Any
public typealias OSStatus = Int32

public let errSecSuccess: OSStatus = 0
public let errSecParam: OSStatus = -50
public let errSecDecode: OSStatus = -26275
public let errSecDuplicateItem: OSStatus = -25299
public let errSecItemNotFound: OSStatus = -25300
public let errSecInteractionNotAllowed: OSStatus = -25308
public let errSecNotAvailable: OSStatus = -25291

public let kSecClass = "class"
public let kSecClassGenericPassword = "genp"
public let kSecAttrService = "svce"
public let kSecAttrAccount = "acct"
public let kSecAttrGeneric = "gena"
public let kSecAttrAccessGroup = "agrp"
public let kSecAttrAccessible = "pdmn"
public let kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly = "cku"
public let kSecUseDataProtectionKeychain = "nleg"
public let kSecValueData = "v_Data"
public let kSecReturnData = "r_Data"
public let kSecReturnAttributes = "r_Attributes"
public let kSecMatchLimit = "m_Limit"
public let kSecMatchLimitOne = "m_LimitOne"
public let kSecMatchLimitAll = "m_LimitAll"

public func SecCopyErrorMessageString(_ status: OSStatus, _ reserved: UnsafeMutableRawPointer?) -> CFString? { "played" }

public func SecItemCopyMatching(_ query: CFDictionary, _ result: inout CFTypeRef?) -> OSStatus {
    PlayedKeychain.shared.copy(query, &result)
}
public func SecItemAdd(_ attributes: CFDictionary, _ result: UnsafeMutablePointer<CFTypeRef?>?) -> OSStatus {
    PlayedKeychain.shared.add(attributes)
}
public func SecItemUpdate(_ query: CFDictionary, _ attributes: CFDictionary) -> OSStatus {
    PlayedKeychain.shared.update(query, attributes)
}
public func SecItemDelete(_ query: CFDictionary) -> OSStatus { PlayedKeychain.shared.delete(query) }

/// The Keychain: it outlives the app, is shut before the first unlock, and records mistakes that Apple's would overlook or refuse.
public final class PlayedKeychain: @unchecked Sendable {
    public static let shared = PlayedKeychain()

    private typealias Item = [String: Any]

    // Guards all fields.
    private let lock = NSLock()
    private var items: [Item] = []
    private var shut = false
    private var broken: [String] = []
    private var written = 0

    public func reset() { lock.withLock { (items, shut, broken, written) = ([], false, [], 0) } }
    public func setShut(_ shut: Bool) { lock.withLock { self.shut = shut } }
    public var violations: [String] { lock.withLock { broken } }
    /// The number of all writes.
    public var writes: Int { lock.withLock { written } }

    private static let identifying: Set = [kSecClass, kSecAttrService, kSecAttrAccount, kSecAttrAccessGroup]

    func copy(_ query: CFDictionary, _ result: inout CFTypeRef?) -> OSStatus {
        lock.withLock {
            check(query)
            let all = query[kSecMatchLimit] as? String == kSecMatchLimitAll
            // Passwords are only returned one by one.
            if all, query[kSecReturnData] as? Bool == true { return errSecParam }
            if query[kSecMatchLimit] == nil { broken.append("a search without a limit") }
            if shut { return errSecInteractionNotAllowed }
            let found = items.filter { matches($0, query) }
            if found.isEmpty { return errSecItemNotFound }
            let shown = found.map { item in
                query[kSecReturnData] as? Bool == true ? item : item.filter { $0.key != kSecValueData }
            }
            if all {
                result = shown
            } else if query[kSecReturnAttributes] as? Bool == true {
                result = shown[0]
            } else {
                result = shown[0][kSecValueData]
            }
            return errSecSuccess
        }
    }

    func add(_ attributes: CFDictionary) -> OSStatus {
        lock.withLock {
            check(attributes)
            if attributes[kSecAttrAccessible] as? String != kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly {
                broken.append("an item that a locked phone cannot read, or that a backup takes along")
            }
            if shut { return errSecInteractionNotAllowed }
            let identity = attributes.filter { Self.identifying.contains($0.key) }
            if items.contains(where: { matches($0, identity) }) { return errSecDuplicateItem }
            items.append(attributes.filter { $0.key != kSecUseDataProtectionKeychain })
            written += 1
            return errSecSuccess
        }
    }

    func update(_ query: CFDictionary, _ attributes: CFDictionary) -> OSStatus {
        lock.withLock {
            check(query)
            if shut { return errSecInteractionNotAllowed }
            if attributes[kSecClass] != nil { return errSecParam }
            let found = items.indices.filter { matches(items[$0], query) }
            if found.isEmpty { return errSecItemNotFound }
            for index in found { items[index].merge(attributes) { $1 } }
            written += 1
            return errSecSuccess
        }
    }

    func delete(_ query: CFDictionary) -> OSStatus {
        lock.withLock {
            check(query)
            if query[kSecMatchLimit] != nil { return errSecParam }
            if shut { return errSecInteractionNotAllowed }
            let before = items.count
            items.removeAll { matches($0, query) }
            if items.count == before { return errSecItemNotFound }
            written += 1
            return errSecSuccess
        }
    }

    private func check(_ query: CFDictionary) {
        if query[kSecClass] as? String != kSecClassGenericPassword { broken.append("a query without a class") }
        if query[kSecAttrService] == nil { broken.append("a query for all of the app's items") }
        if query[kSecUseDataProtectionKeychain] as? Bool != true { broken.append("macOS: the file-based keychain") }
    }

    private func matches(_ item: Item, _ query: CFDictionary) -> Bool {
        Self.identifying.allSatisfy { key in query[key].map { $0 as? String == item[key] as? String } ?? true }
    }
}
