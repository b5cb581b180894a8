import SampleCore
import SwiftUI

/// The app's own call screen, beside CallKit's.
struct CallView: View {
    @ObservedObject var screen: Screen
    let call: CallState

    var body: some View {
        VStack(spacing: 24) {
            Spacer()
            Text(call.caller).font(.largeTitle)
            if case .connected(let since) = call.phase { Text(since, style: .timer).monospacedDigit() }
            Text(call.words).multilineTextAlignment(.center)
            Text(screen.state.audio ? "CallKit has given the audio session" : "No audio session yet").font(.footnote)
            Spacer()
            HStack(spacing: 48) {
                Button(call.answerable ? "Decline" : "Hang up", role: .destructive) { screen.model.end() }
                if call.answerable { Button("Answer") { screen.model.answer() } }
            }
            .buttonStyle(.borderedProminent)
        }
        .padding(32)
        .frame(maxWidth: .infinity, maxHeight: .infinity)
        .background(.background)
    }
}
