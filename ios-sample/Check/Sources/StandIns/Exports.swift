@_exported import SipWakeApple
