import Foundation

@MainActor @preconcurrency
public protocol View {
    associatedtype Body: View
    @ViewBuilder var body: Body { get }
}

extension Never: View {}

extension View where Body == Never {
    public var body: Never { return fatalError() }
}

/// A sequence of views.
public struct Views: View {
    public init() {}
}

@resultBuilder
@MainActor
public enum ViewBuilder {
    public static func buildBlock<each V: View>(_ views: repeat each V) -> Views { Views() }
    public static func buildIf(_ views: Views?) -> Views { Views() }
    public static func buildEither(first views: Views) -> Views { Views() }
    public static func buildEither(second views: Views) -> Views { Views() }
}

public struct Text: View {
    public struct DateStyle: Sendable {
        public static let timer = Self()
        public static let time = Self()
    }

    public init(_ text: String) {}
    public init(_ date: Date, style: DateStyle) {}
    public func font(_ font: Font) -> Text { self }
    public func monospacedDigit() -> Text { self }
}

public struct Font: Sendable {
    public static let headline = Font()
    public static let footnote = Font()
    public static let largeTitle = Font()
    public static let caption = Font()
    public func monospaced() -> Font { self }
}

public struct TextField: View { public init(_ prompt: String, text: Binding<String>) {} }
public struct Toggle: View { public init(_ title: String, isOn: Binding<Bool>) {} }
public struct SecureField: View { public init(_ prompt: String, text: Binding<String>) {} }
public struct Spacer: View { public init() {} }
public struct ShareLink: View { public init(_ title: String, item: String) {} }

public struct Picker: View {
    public init<Value: Hashable>(_ title: String, selection: Binding<Value>, @ViewBuilder content: () -> some View) {}
}

public struct ForEach: View {
    public init<Data: RandomAccessCollection>(
        _ data: Data, id: KeyPath<Data.Element, some Hashable>, @ViewBuilder content: @escaping (Data.Element) -> some View
    ) {}
}

public struct ButtonRole: Sendable { public static let destructive = ButtonRole() }

public struct Button: View {
    public init(_ title: String, role: ButtonRole? = nil, action: @escaping @MainActor () -> Void) {}
}

public struct NavigationLink: View {
    public init(_ title: String, @ViewBuilder destination: () -> some View) {}
}

public struct NavigationStack: View { public init(@ViewBuilder root: () -> some View) {} }
public struct Form: View { public init(@ViewBuilder content: () -> some View) {} }
public struct List: View { public init(@ViewBuilder content: () -> some View) {} }
public struct ScrollView: View { public init(@ViewBuilder content: () -> some View) {} }

public struct Section: View {
    public init(@ViewBuilder content: () -> some View) {}
    public init(_ title: String, @ViewBuilder content: () -> some View) {}
}

public enum HorizontalAlignment: Sendable { case leading, center }
public enum Alignment: Sendable { case leading, center }
public enum TextAlignment: Sendable { case leading, center }
public enum EdgeSet: Sendable { case horizontal }
public enum Hue: Sendable { case red, background }
public struct TextInputAutocapitalization: Sendable { public static var never: Self { Self() } }
public struct Prominent: Sendable { public static var borderedProminent: Self { Self() } }
public struct Selectable: Sendable { public static var enabled: Self { Self() } }

public struct VStack: View {
    public init(alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil, @ViewBuilder content: () -> some View) {}
}

public struct HStack: View {
    public init(spacing: CGFloat? = nil, @ViewBuilder content: () -> some View) {}
}

extension View {
    public func autocorrectionDisabled() -> some View { self }
    public func background(_ style: Hue) -> some View { self }
    public func buttonStyle(_ style: Prominent) -> some View { self }
    public func disabled(_ disabled: Bool) -> some View { self }
    public func foregroundStyle(_ style: Hue) -> some View { self }
    public func frame(maxWidth: CGFloat? = nil, maxHeight: CGFloat? = nil, alignment: Alignment = .center) -> some View { self }
    public func multilineTextAlignment(_ alignment: TextAlignment) -> some View { self }
    public func navigationTitle(_ title: String) -> some View { self }
    public func onAppear(perform action: (() -> Void)? = nil) -> some View { self }
    public func overlay(@ViewBuilder content: () -> some View) -> some View { self }
    public func padding(_ length: CGFloat? = nil) -> some View { self }
    public func padding(_ edges: EdgeSet) -> some View { self }
    public func textInputAutocapitalization(_ style: TextInputAutocapitalization?) -> some View { self }
    public func textSelection(_ selectability: Selectable) -> some View { self }
    public func toolbar(@ViewBuilder content: () -> some View) -> some View { self }
}
