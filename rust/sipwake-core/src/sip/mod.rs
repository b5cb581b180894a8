//! SIP messages: framed, normalised, parsed and built. The only place that names rsip.
//!
//! Bytes are normalised first (caps, bare LF, folding, compact names, white space before the colon, Content-Length), so that
//! everything behind [`Message`] sees one spelling. rsip then reads the version, the status line, the method's token
//! and its name.
//!
//! Headers are spans into the one normalised buffer and do not go through rsip: it keeps a `String` for each value, looks
//! each name up among 46 one after the other, and a request whose URI it cannot read (IPv6, `tel:`, `?headers`) would need a second way
//! to the same headers. Contact, Via, Feature-Caps, name-addr and parameters have their own parsers here, each
//! below its ABNF, because rsip's lose text.
//!
//! Nothing here panics on foreign bytes, and every size is capped: [`MAX_MESSAGE`], [`MAX_HEADERS`], [`MAX_LINE`], [`MAX_CONTACTS`].

mod addr;
mod build;
mod check;
mod contact;
mod escape;
mod feature_caps;
mod frame;
mod head;
mod message;
mod method;
mod params;
mod start;
mod uri;
mod via;

pub use addr::NameAddr;
pub use build::{BuildError, Builder};
pub use check::Fault;
pub use contact::Contact;
pub use escape::{MalformedEscape, escape_paramchar, is_token, quote, unescape, unquote};
pub use feature_caps::FeatureCaps;
pub use frame::{Frame, FrameError, Framer};
pub use head::{MAX_HEADERS, MAX_LINE, MAX_MESSAGE, ParseError};
pub use message::{CSeq, MAX_CONTACTS, Message, split_list};
pub use method::Method;
pub use params::Params;
pub use start::Start;
pub use uri::{Host, SipUri, Uri, same_uri};
pub use via::Via;
