import SampleCore
import SwiftUI

/// Server and account. What the SDK refuses is marked at its field.
struct SettingsView: View {
    @ObservedObject var screen: Screen
    @State var settings: AccountSettings
    @State private var problem: SettingsProblem?
    @State private var saving = false
    @Environment(\.dismiss) private var dismiss

    var body: some View {
        Form {
            Section("Account") {
                field(.aor, "sip:alice@example.com", $settings.aor)
                SecureField("Password", text: $settings.password)
                reason(.password)
                field(.authUser, "User name for digest, if another", $settings.authUser)
            }
            Section("Server") {
                field(.gateway, "Push gateway, host:port", $settings.gateway)
                field(.proxy, "Outbound proxy, sip:…", $settings.proxy)
                Picker("Transport", selection: $settings.transport) {
                    ForEach(AccountSettings.Transport.allCases, id: \.self) { Text($0.rawValue.uppercased()) }
                }
                reason(.transport)
            }
            Section("Encrypted pushes") {
                SecureField("AES key, base64; may stay empty", text: $settings.payloadKey)
                reason(.payloadKey)
            }
            reason(.none)
            Button(saving ? "Saving…" : "Save and register") { save() }.disabled(saving)
            if screen.state.settings == nil, screen.state.binding != .none {
                Section { Text(screen.state.headline); Text(screen.state.details).font(.footnote) }
            }
        }
        .navigationTitle("sipwake sample")
    }

    private func field(_ name: SettingsProblem.Field, _ prompt: String, _ text: Binding<String>) -> some View {
        VStack(alignment: .leading) {
            TextField(prompt, text: text).autocorrectionDisabled().textInputAutocapitalization(.never)
            reason(name)
        }
    }

    @ViewBuilder private func reason(_ name: SettingsProblem.Field) -> some View {
        if let problem, problem.field == name { Text(problem.reason).font(.footnote).foregroundStyle(.red) }
    }

    private func save() {
        saving = true
        Task {
            problem = await screen.model.save(settings)
            saving = false
            if problem == nil { dismiss() }
        }
    }
}
