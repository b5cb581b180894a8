import SampleCore
import SwiftUI

/// Whether the account is registered, and whether its server will push.
struct StatusView: View {
    @ObservedObject var screen: Screen

    private var state: SampleState { screen.state }

    private var quiet: Binding<Bool> {
        Binding(get: { state.quietUntil != nil }, set: { on in Task { await screen.model.doNotDisturb(on) } })
    }

    var body: some View {
        List {
            Section(state.settings?.aor ?? "") {
                Text(state.headline).font(.headline)
                if !state.details.isEmpty { Text(state.details).font(.footnote) }
            }
            Section("Push") {
                Text(state.verdictWords)
                if let verdict = state.verdict {
                    Text(verdict.reason).font(.footnote)
                    if !verdict.advice.isEmpty { Text(verdict.advice).font(.footnote) }
                }
            }
            Section {
                Toggle("Do not disturb for an hour", isOn: quiet)
                if let until = state.quietUntil { Text(until, style: .time) }
            }
            if let last = state.lastCall {
                Section("Last call") { Text("\(last.caller): \(last.words)") }
            }
            if let chat = state.lastChat {
                Section("Last message") { Text("\(chat.displayName ?? chat.from): \(chat.text)") }
            }
            if !state.notices.isEmpty {
                Section("Notices") { ForEach(state.notices.indices, id: \.self) { Text(state.notices[$0]) } }
            }
            Section {
                Button("Register again") { Task { await screen.model.register() } }
                NavigationLink("Settings") {
                    SettingsView(screen: screen, settings: state.settings ?? AccountSettings())
                }
                NavigationLink("Trace") { TraceView(model: screen.model) }
                Button("Log out", role: .destructive) { Task { await screen.model.logOut() } }
            }
        }
        .navigationTitle("sipwake sample")
    }
}
