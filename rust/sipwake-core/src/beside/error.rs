//! What a companion refuses, and why. Nothing was changed then.

use crate::error::FieldError;
use crate::sip::ParseError;
use crate::user_agent::NoSuchAccount;

/// Why a companion did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field cannot be used.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// There is no such account, or its log-out is over.
    #[error("no such account, or its log-out is over")]
    NoSuchAccount,
    /// The account has no push settings.
    #[error("the account has no push settings")]
    NoPush,
    /// The gateway in use holds nothing of this account any more: there is nothing to send.
    #[error("nothing of this account is left to be sent")]
    NothingToSend,
    /// An answer to a REGISTER came before the tags of any were taken.
    #[error("an answer to a REGISTER whose tags were never taken: ask for them before you send it")]
    NothingAsked,
    /// No REGISTER of this number was written.
    #[error("no REGISTER has the number {0}")]
    NoSuchRegister(u64),
    /// A status is a number from 100 to 699.
    #[error("{0} is not a status of a SIP response: a number from 100 to 699")]
    Status(u16),
    /// A header holds a line break that begins no folded line, or another control character.
    #[error(
        "header number {0} is none: a name that is a token, and a value without line breaks except before white space"
    )]
    Header(usize),
    /// Together the headers are no message.
    #[error("the headers do not make a message: {0}")]
    Unreadable(#[from] ParseError),
    /// A header is missing without which nothing can be decided.
    #[error("the headers lack {0}")]
    Lacks(&'static str),
    /// The Contact is not a SIP URI.
    #[error("the Contact is not a SIP URI")]
    Contact,
    /// No push and no INVITE has announced this call, or it ended more than an hour ago.
    #[error("no such call")]
    NoSuchCall,
    /// The call's INVITE is not here: nothing was accepted.
    #[error("the INVITE of this call is not here yet")]
    NotInvited,
    /// The call was answered before.
    #[error("the call was answered before")]
    Answered,
    /// The call is over: an end is reported once.
    #[error("the call is over")]
    Over,
}

impl From<NoSuchAccount> for Error {
    fn from(_: NoSuchAccount) -> Self {
        Self::NoSuchAccount
    }
}
