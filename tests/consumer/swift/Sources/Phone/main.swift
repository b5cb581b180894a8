import SipWake

let account = AccountConfig(aor: "sip:alice@example.com", credentials: .password(password: "wonderland"))
let client = try SipWakeClient(store: MemoryStore(), accounts: [AccountSetup(account: account)])
print("\(try account.id()) is ready, and nothing is sent before it is registered")
client.shutdown()
