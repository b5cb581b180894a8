//! Breaks in the core, made on purpose, for the simulation that must find each of them.
//!
//! Without the feature `mutations` there is nothing here: [`active`] is `false` at compile time.

/// One break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutations"), allow(dead_code))]
#[cfg_attr(not(feature = "mutations"), allow(unreachable_pub))]
pub enum Mutation {
    /// A push registers beside the REGISTER in flight.
    TwoInFlight,
    /// A new process begins below the CSeqs that were reserved.
    CseqReused,
    /// A new process takes a new Call-ID.
    CallIdChanges,
    /// Nonce counts are not reserved in the store.
    NonceCountReused,
    /// The record is stored after what depends on it was sent.
    SavedAfterSending,
    /// A log-out is not stored.
    LogOutNotStored,
    /// A log-out that failed once counts as delivered.
    LogOutGivenUp,
    /// A new process forgets the pending log-outs.
    LogOutForgotten,
    /// The record of a log-out holds the password.
    PasswordStored,
    /// A push for a logged-out user makes a sound.
    LatePushSounds,
    /// Old Contacts are never removed.
    OldContactStays,
    /// Other devices' Contacts are removed, too.
    ForeignContactRemoved,
    /// The same token is sent again.
    SameTokenSent,
    /// A new token waits for the next refresh.
    NewTokenWaits,
    /// Push cannot be unbound.
    UnbindIgnored,
    /// The binding is not refreshed.
    NeverRefreshed,
    /// Each REGISTER waits to be challenged.
    AlwaysChallenged,
    /// Push counts as confirmed whenever the REGISTER is.
    VerdictGuessed,
    /// A refusal is not told.
    FailureSilent,
    /// The end of a call leaves no tombstone.
    NoTombstone,
    /// A push and its INVITE are two calls.
    NeverJoined,
    /// An announced call that never comes has no end.
    NeverMissed,
    /// The app does not hear that the store refused a record.
    StoreFailureSilent,
    /// What the store refused is not stored again.
    NotStoredAgain,
    /// A new process forgets who logged out.
    DepartedForgotten,
    /// A refused password is tried again and again.
    WrongPasswordRetried,
    /// A gateway that was left is spoken to over UDP, whatever the DNS chose.
    FormerIgnoresDns,
    /// A gateway that was left gets its request over UDP, however large it is.
    FormerOverUdpAlone,
    /// Where a gateway was once not reached over TCP, large requests go over UDP for good.
    TcpGivenUpForGood,
    /// What this gateway says of a former token does away with the binding at another one.
    BoundElsewhereForgotten,
    /// What a gateway that is returned to still holds is not removed there.
    LeftHereStays,
    /// Of the gateways that were left only the last one is remembered.
    OneLeftRemembered,
    /// A log-out is not told to a gateway that was left and down ever since.
    LogOutAsksNobodyAnew,
    /// Whatever a gateway that was left answers, it is not asked again.
    TroubleTakenForGone,
    /// What the wall clock takes for lapsed is not removed at the gateway that was left.
    LeftForgottenByTheClock,
}

impl Mutation {
    /// All of them.
    #[cfg(feature = "mutations")]
    pub const ALL: [Self; 35] = [
        Self::TwoInFlight,
        Self::CseqReused,
        Self::CallIdChanges,
        Self::NonceCountReused,
        Self::SavedAfterSending,
        Self::LogOutNotStored,
        Self::LogOutGivenUp,
        Self::LogOutForgotten,
        Self::PasswordStored,
        Self::LatePushSounds,
        Self::OldContactStays,
        Self::ForeignContactRemoved,
        Self::SameTokenSent,
        Self::NewTokenWaits,
        Self::UnbindIgnored,
        Self::NeverRefreshed,
        Self::AlwaysChallenged,
        Self::VerdictGuessed,
        Self::FailureSilent,
        Self::NoTombstone,
        Self::NeverJoined,
        Self::NeverMissed,
        Self::StoreFailureSilent,
        Self::NotStoredAgain,
        Self::DepartedForgotten,
        Self::WrongPasswordRetried,
        Self::FormerIgnoresDns,
        Self::FormerOverUdpAlone,
        Self::TcpGivenUpForGood,
        Self::BoundElsewhereForgotten,
        Self::LeftHereStays,
        Self::OneLeftRemembered,
        Self::LogOutAsksNobodyAnew,
        Self::TroubleTakenForGone,
        Self::LeftForgottenByTheClock,
    ];
}

#[cfg(feature = "mutations")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Breaks everything that this thread does with the core from here on, or mends it with `None`.
#[cfg(feature = "mutations")]
pub fn set(mutation: Option<Mutation>) {
    ACTIVE.set(mutation);
}

#[cfg(feature = "mutations")]
pub(crate) fn active(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

#[cfg(not(feature = "mutations"))]
pub(crate) const fn active(_: Mutation) -> bool {
    false
}
