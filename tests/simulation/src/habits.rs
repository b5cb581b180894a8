//! What real servers do, beside what the standards say. A server is put together from these: each is a switch.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::wire::Contact;

/// One habit, with a server that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Habit {
    /// A nonce is good for one request; the next one with it gets a 403 (Kamailio with `nonce_count=0` behind some scripts).
    NonceOnce403,
    /// The same with a 400 (Sprout).
    NonceOnce400,
    /// The same with a 500 (MagnusBilling).
    NonceOnce500,
    /// A challenge for a dead nonce does not say `stale` (Asterisk's chan_sip).
    StaleUnsaid,
    /// Every challenge says `stale=true` (some SBCs).
    StaleAlways,
    /// A Contact is listed with the address that the server saw (Kamailio's `fix_nated_register`, FreeSWITCH).
    ContactRewritten,
    /// A Contact is listed with other escapes than it was sent with (sipXecs).
    ContactEscaped,
    /// A Contact is listed with its host and scheme in capitals (AVM, old Cisco).
    ContactInCapitals,
    /// A Contact is listed without its transport (Asterisk).
    TransportLeftOut,
    /// All Contacts are listed in one line (FreeSWITCH).
    OneLine,
    /// A 200 lists no Contact at all (3CX at times).
    NothingListed,
    /// Contacts are listed without `expires`, and the lifetime stands in the header field (Mitel).
    LifetimeInHeader,
    /// No binding lives longer than ten minutes, whatever was asked (most hosted PBXs).
    LifetimeCut,
    /// The user has forty other devices, all of them listed (call centres).
    ManyDevices,
    /// A 200 has `Flow-Timer`, and pings are answered (RFC 5626 edge proxies, Flexisip).
    FlowTimer,
    /// Now and then a REGISTER that is right gets a 403 (load balancers before a cold cache).
    ForbiddenAtTimes,
    /// The INVITE has another Call-ID than the push told (every B2BUA).
    CallIdRenamed,
    /// The INVITE's To names a ring group, and not the user (FreePBX).
    AliasInTo,
    /// Who gives up calls again five seconds later (people).
    CalledAgain,
    /// From the middle of the story on `pn-*` get a 555 (a licence that ended).
    ProviderDropped,
    /// A 200 comes with `Expires: 0` beside a Contact that lives (old OpenSER scripts).
    ZeroInHeader,
    /// A Contact is listed at its end, with `expires=0`, beside its living twin (Kamailio).
    EndListed,
    /// A Contact of more than 255 bytes gets a 400 (OpenSIPS, Asterisk); the provider's tokens are long.
    ContactTooLong,
    /// The INVITE's To is the registered Contact, and To is cut at 255 bytes in what follows (Asterisk's chan_sip).
    ToCut,
    /// The first of the server's two addresses is dead: what is sent there over UDP is lost (a cluster with one node down).
    FirstAddressDead,
    /// Who waits for a call is known by `pn-*` alone, whichever account registers (OpenSIPS); both accounts have one token.
    WaitsByPn,
    /// Who can be woken is pushed, and gets the INVITE only where a REGISTER comes after that, however fresh the binding is
    /// (Flexisip, proxies that take RFC 8599 at its word).
    PushedFirst,
    /// Each fifth challenge is of a node whose nonces the others know nothing of, and they do not call them stale (clusters without a
    /// common secret).
    NonceLost,
    /// Contacts are compared and listed without the parameters of their URIs (Asterisk's chan_sip, some SBCs).
    ParametersIgnored,
    /// A binding is there still when it was removed once, and the 200 lists it (clusters whose nodes hear of each other's writes
    /// later).
    RemovalOverlooked,
}

impl Habit {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::NonceOnce403,
        Self::NonceOnce400,
        Self::NonceOnce500,
        Self::StaleUnsaid,
        Self::StaleAlways,
        Self::ContactRewritten,
        Self::ContactEscaped,
        Self::ContactInCapitals,
        Self::TransportLeftOut,
        Self::OneLine,
        Self::NothingListed,
        Self::LifetimeInHeader,
        Self::LifetimeCut,
        Self::ManyDevices,
        Self::FlowTimer,
        Self::ForbiddenAtTimes,
        Self::CallIdRenamed,
        Self::AliasInTo,
        Self::CalledAgain,
        Self::ProviderDropped,
        Self::ZeroInHeader,
        Self::EndListed,
        Self::ContactTooLong,
        Self::ToCut,
        Self::FirstAddressDead,
        Self::WaitsByPn,
        Self::PushedFirst,
        Self::NonceLost,
        Self::ParametersIgnored,
        Self::RemovalOverlooked,
    ];

    /// Reads the name that a story has for it.
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
    }

    /// The status with which a nonce is refused that was used before.
    pub(crate) fn refuses_used_nonces(self) -> Option<u16> {
        match self {
            Self::NonceOnce403 => Some(403),
            Self::NonceOnce400 => Some(400),
            Self::NonceOnce500 => Some(500),
            _ => None,
        }
    }
}

/// Draws a server's habits: each in some nine of a hundred lives.
pub(crate) fn drawn(seed: u64) -> Vec<Habit> {
    // A stream of its own: what else happens in a story does not depend on it.
    let mut chance = Chance::new(seed ^ 0x6861_6269_7473_2121);
    Habit::ALL.into_iter().filter(|_| chance.hits(95)).collect()
}

/// Whether the lists of a server with these habits hide what they are about.
pub(crate) fn hide(habits: &[Habit]) -> bool {
    let hiding = [Habit::NothingListed, Habit::ContactRewritten, Habit::TransportLeftOut, Habit::ParametersIgnored];
    hiding.iter().any(|habit| habits.contains(habit))
}

/// The address that a NAT gives the phone: another one for each of its own, with the same port.
const OUTSIDE: &str = "203.0.113.";
const INSIDE: &str = "10.0.0.";

/// How a server with these habits lists a Contact.
pub(crate) fn listed(habits: &[Habit], uri: &str) -> String {
    let has = |habit| habits.contains(&habit);
    let mut uri = uri.to_owned();
    if has(Habit::ParametersIgnored) {
        uri.truncate(uri.find(';').unwrap_or(uri.len()));
    }
    if has(Habit::ContactRewritten) {
        uri = uri.replace(INSIDE, OUTSIDE);
    }
    if has(Habit::TransportLeftOut) {
        uri = ["udp", "tcp", "tls"].iter().fold(uri, |uri, name| uri.replace(&format!(";transport={name}"), ""));
    }
    if has(Habit::ContactEscaped) {
        uri = match uri.contains("%3A") {
            true => uri.replace("%3A", ":"),
            false => escaped_params(&uri),
        };
    }
    if has(Habit::ContactInCapitals) {
        uri = uri.replacen("sip:", "SIP:", 1);
    }
    uri
}

/// Escapes the colons of the parameters.
fn escaped_params(uri: &str) -> String {
    match uri.split_once(';') {
        Some((address, params)) => format!("{address};{}", params.replace(':', "%3a")),
        None => uri.to_owned(),
    }
}

/// The binding that a request means by a Contact as it was listed.
pub(crate) fn meant<'b>(
    habits: &[Habit],
    bound: impl IntoIterator<Item = &'b Contact>,
    named: &Contact,
) -> Option<String> {
    bound.into_iter().find(|known| listed(habits, &known.uri) == named.uri).map(|known| known.uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn each_habit_is_drawn_in_five_of_a_hundred_lives_or_more() {
        const LIVES: u64 = 10_000;
        for habit in Habit::ALL {
            let with = (0..LIVES).filter(|seed| Script::from_seed(*seed).setting.has(habit)).count() as u64;
            assert!(with * 20 >= LIVES, "{habit:?}: {with} of {LIVES}");
        }
    }

    #[test]
    fn a_contact_is_known_by_the_form_in_which_it_was_listed() {
        let sent = Contact { uri: "sip:u@10.0.0.7:5070;transport=udp;pn-prid=a:b".to_owned(), params: String::new() };
        let with: Vec<Habit> = Habit::ALL.into_iter().filter(|habit| *habit != Habit::ParametersIgnored).collect();
        assert_eq!(listed(&with, &sent.uri), "SIP:u@203.0.113.7:5070;pn-prid=a%3ab");
        assert_eq!(listed(&Habit::ALL, &sent.uri), "SIP:u@203.0.113.7:5070");
        for habits in [with.as_slice(), &Habit::ALL] {
            let named = Contact { uri: listed(habits, &sent.uri), ..sent.clone() };
            assert_eq!(meant(habits, [&sent], &named).as_ref(), Some(&sent.uri));
        }
    }
}
