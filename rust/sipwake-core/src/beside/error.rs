//! Why a companion refuses something. A refused call changes nothing.

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
    #[error("no such account, or its log-out has ended")]
    NoSuchAccount,
    /// The account has no push settings.
    #[error("the account has no push settings")]
    NoPush,
    /// The gateway in use holds nothing of this account any more, so there is nothing to send.
    #[error("this account has nothing left to send")]
    NothingToSend,
    /// A response to a REGISTER came before the app took the tags of any REGISTER.
    #[error("a response to a REGISTER whose tags were never requested: ask for the tags before you send a REGISTER")]
    NothingAsked,
    /// There is no REGISTER with this number.
    #[error("there is no REGISTER with the number {0}")]
    NoSuchRegister(u64),
    /// A status is a number from 100 to 699.
    #[error("{0} is not a status of a SIP response: a number from 100 to 699")]
    Status(u16),
    /// A header holds a line break that does not begin a folded line, or another control character.
    #[error(
        "header number {0} is none: a name that is a token, and a value without line breaks except before white space"
    )]
    Header(usize),
    /// The headers together do not make a message.
    #[error("the headers do not form a SIP message: {0}")]
    Unreadable(#[from] ParseError),
    /// A header is missing that the decision needs.
    #[error("the header {0} is missing")]
    Lacks(&'static str),
    /// The headers are those of another request, as `CSeq` shows.
    #[error("the headers are not those of {0}: CSeq names another method")]
    Method(&'static str),
    /// `To` has a tag, so the INVITE changes a call that is up. Only the other stack handles that (RFC 3261 section
    /// 14).
    #[error("an INVITE inside a dialog: it changes a call and is not a new one")]
    InDialog,
    /// The Contact is not a SIP URI.
    #[error("the Contact is not a SIP URI")]
    Contact,
    /// No push and no INVITE has announced this call, or it ended more than an hour ago.
    #[error("no such call")]
    NoSuchCall,
    /// The call's INVITE is not here, so nothing was accepted.
    #[error("the INVITE of this call is not here yet")]
    NotInvited,
    /// The call was answered before.
    #[error("the call was already answered")]
    Answered,
    /// The call is over. An end is reported once.
    #[error("the call has ended")]
    Over,
}

impl From<NoSuchAccount> for Error {
    fn from(_: NoSuchAccount) -> Self {
        Self::NoSuchAccount
    }
}
