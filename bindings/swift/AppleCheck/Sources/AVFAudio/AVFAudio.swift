import Foundation

public class AVAudioSession: NSObject {
    public enum Category: Sendable { case playAndRecord }
    public enum Mode: Sendable { case voiceChat }

    public enum RecordPermission: Sendable { case undetermined, denied, granted }
    /// Set by the tests.
    public var recordPermission = RecordPermission.granted

    public nonisolated(unsafe) static let played = AVAudioSession()
    public class func sharedInstance() -> AVAudioSession { played }
    public func setCategory(_ category: Category, mode: Mode) throws {}
}
