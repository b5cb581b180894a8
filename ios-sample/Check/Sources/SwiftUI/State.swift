import Foundation
import UIKit

@MainActor @preconcurrency
public protocol App {
    associatedtype Body: Scene
    var body: Body { get }
    init()
}

extension App {
    public static func main() {}
}

@MainActor @preconcurrency
public protocol Scene {}

public struct WindowGroup: Scene {
    public init(@ViewBuilder content: () -> some View) {}
}

@MainActor @propertyWrapper
public struct UIApplicationDelegateAdaptor<Delegate: NSObject & UIApplicationDelegate> {
    public var wrappedValue: Delegate { fatalError() }
    public init(_ type: Delegate.Type = Delegate.self) {}
}

/// As in Combine.
public protocol ObservableObject: AnyObject {}

/// As in Combine.
@propertyWrapper
public struct Published<Value> {
    public var wrappedValue: Value
    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
}

@MainActor @propertyWrapper
public struct StateObject<Object: ObservableObject> {
    public var wrappedValue: Object { fatalError() }
    public nonisolated init(wrappedValue make: @autoclosure @escaping () -> Object) {}
}

@MainActor @propertyWrapper
public struct ObservedObject<Object: ObservableObject> {
    public var wrappedValue: Object
    public init(wrappedValue: Object) { self.wrappedValue = wrappedValue }
}

@propertyWrapper
public struct State<Value> {
    public var wrappedValue: Value {
        get { fatalError() }
        nonmutating set {}
    }
    public var projectedValue: Binding<Value> { Binding() }
    public init(wrappedValue: Value) {}
}

@dynamicMemberLookup
public struct Binding<Value> {
    public init(get: @escaping @MainActor () -> Value, set: @escaping @MainActor (Value) -> Void) {}
    init() {}
    public subscript<Member>(dynamicMember path: WritableKeyPath<Value, Member>) -> Binding<Member> { Binding<Member>() }
}

public struct DismissAction {
    @MainActor public func callAsFunction() {}
}

public struct EnvironmentValues {
    public let dismiss = DismissAction()
}

@propertyWrapper
public struct Environment<Value> {
    public var wrappedValue: Value { fatalError() }
    public init(_ path: KeyPath<EnvironmentValues, Value>) {}
}
