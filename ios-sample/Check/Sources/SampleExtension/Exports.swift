// On a phone all of this is in SipWake itself.
@_exported import StandIns
