import SampleCore
import SwiftUI

/// The latest messages, to read them or to send them to those who examine a problem.
struct TraceView: View {
    let model: AppModel
    @State private var text = ""
    @State private var report = ""

    var body: some View {
        ScrollView {
            Text(text).font(.caption.monospaced()).textSelection(.enabled).frame(maxWidth: .infinity, alignment: .leading)
        }
        .padding(.horizontal)
        .navigationTitle("Trace")
        .toolbar {
            Button("Reload") { text = model.exportTrace() }
            ShareLink("Export", item: text)
            ShareLink("Share report", item: report)
        }
        .onAppear {
            text = model.exportTrace()
            Task { report = await model.report() }
        }
    }
}
