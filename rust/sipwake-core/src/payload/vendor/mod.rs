//! The vendors of payloads: one file for each, and the list in which they are asked.

use serde::Serialize;

use super::Channel;
use super::action::Reading;
use super::fields::Fields;

mod acrobits;
mod flexisip;
mod mizutech;
mod portsip;
mod telnyx;
mod twilio;
mod vialer;

/// Returns `None` for a payload of another vendor.
pub(super) type Read = for<'f> fn(&'f Fields<'_>, Channel) -> Option<Reading<'f>>;

/// They are tried in this order. A vendor with unique field names comes first.
pub(super) const VENDORS: [(Vendor, Read); 7] = [
    (Vendor::Mizutech, mizutech::read),
    (Vendor::Twilio, twilio::read),
    (Vendor::Acrobits, acrobits::read),
    (Vendor::Vialer, vialer::read),
    (Vendor::Telnyx, telnyx::read),
    (Vendor::Flexisip, flexisip::read),
    (Vendor::PortSip, portsip::read),
];

/// Whose payload a push carries.
#[cfg_attr(feature = "replay", derive(serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Vendor {
    /// Mizutech's server, gateway and SDKs.
    Mizutech,
    /// Flexisip (Linphone), and Kazoo, which sends the same fields.
    Flexisip,
    /// PortSIP PBX.
    PortSip,
    /// Acrobits: calls without its SIPIS, and messages.
    Acrobits,
    /// Twilio Voice.
    Twilio,
    /// Telnyx Voice.
    Telnyx,
    /// Vialer (VoIPGRID).
    Vialer,
}

/// Whether a text is a URI or a number, and not a name.
fn is_address(text: &str) -> bool {
    let number = |byte: u8| byte.is_ascii_digit() || b"+*#-.() ".contains(&byte);
    let scheme = ["sip:", "sips:", "tel:"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)));
    scheme || (text.bytes().all(number) && text.bytes().any(|byte| byte.is_ascii_digit()))
}
