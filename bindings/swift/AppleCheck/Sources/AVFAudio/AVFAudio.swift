import Foundation

public class AVAudioSession: NSObject {}
