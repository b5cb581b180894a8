import SampleCore
import SwiftUI

@main
struct SampleApp: App {
    @UIApplicationDelegateAdaptor(AppDelegate.self) private var delegate

    var body: some Scene {
        WindowGroup {
            if let model = delegate.model {
                RootView(model)
            } else {
                Text(delegate.failure ?? "Starting…").padding()
            }
        }
    }
}

/// Shows a model's state to SwiftUI.
@MainActor
final class Screen: ObservableObject {
    @Published private(set) var state: SampleState
    let model: AppModel

    init(_ model: AppModel) {
        self.model = model
        state = model.state
        model.changed = { [weak self] in self?.state = $0 }
    }
}

struct RootView: View {
    @StateObject private var screen: Screen

    init(_ model: AppModel) {
        _screen = StateObject(wrappedValue: Screen(model))
    }

    var body: some View {
        NavigationStack {
            if let problem = screen.state.storeProblem {
                VStack { Text(screen.state.headline).font(.headline); Text(problem) }.padding()
            } else if screen.state.settings == nil {
                SettingsView(screen: screen, settings: AccountSettings())
            } else {
                StatusView(screen: screen)
            }
        }
        .overlay {
            if let call = screen.state.call { CallView(screen: screen, call: call) }
        }
    }
}
