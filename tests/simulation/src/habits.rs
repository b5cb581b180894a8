//! What real servers do beyond the standards. Each habit is a switch, and a server is a set of them.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::wire::Contact;

/// One habit, with a server that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Habit {
    /// A nonce is valid for one request; the next request with it gets a 403 (Kamailio with `nonce_count=0` behind some
    /// scripts).
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
    /// A 200 lists no Contact at all (sometimes 3CX).
    NothingListed,
    /// Contacts are listed without `expires`, and the header field has the lifetime (Mitel).
    LifetimeInHeader,
    /// No binding lives longer than ten minutes, even if a client asks for more (most hosted PBXs).
    LifetimeCut,
    /// The user has forty other devices, all of them listed (call centres).
    ManyDevices,
    /// A 200 has `Flow-Timer`, and pings are answered (RFC 5626 edge proxies, Flexisip).
    FlowTimer,
    /// Now and then a valid REGISTER gets a 403 (load balancers before a cold cache).
    ForbiddenAtTimes,
    /// The INVITE has another Call-ID than the push (every B2BUA).
    CallIdRenamed,
    /// The INVITE's To names a ring group, and not the user (FreePBX).
    AliasInTo,
    /// A caller who gives up calls again five seconds later (people).
    CalledAgain,
    /// From the middle of the story on, `pn-*` gets a 555 (a licence that ended).
    ProviderDropped,
    /// A 200 has `Expires: 0` beside a live Contact (old OpenSER scripts).
    ZeroInHeader,
    /// An expired Contact is listed with `expires=0` beside its live twin (Kamailio).
    EndListed,
    /// A Contact of more than 255 bytes gets a 400 (OpenSIPS, Asterisk). The provider's tokens are long.
    ContactTooLong,
    /// The INVITE's To is the registered Contact, and in later requests To is cut at 255 bytes (Asterisk's chan_sip).
    ToCut,
    /// The first of the server's two addresses is dead: UDP datagrams to it are lost (a cluster with one node down).
    FirstAddressDead,
    /// A waiting call belongs to whichever account registers with the same `pn-*` (OpenSIPS). Both accounts have one token.
    WaitsByPn,
    /// A client that can be woken always gets a push, and the INVITE only after a later REGISTER, even if the binding is
    /// fresh (Flexisip, proxies that follow RFC 8599 to the letter).
    PushedFirst,
    /// Each fifth challenge is from a node whose nonces the other nodes do not know, and they do not call them stale (clusters
    /// without a common secret).
    NonceLost,
    /// Contacts are compared and listed without the parameters of their URIs (Asterisk's chan_sip, some SBCs).
    ParametersIgnored,
    /// A binding is still there after its first removal, and the 200 lists it (clusters whose nodes learn of each other's writes
    /// late).
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

    /// Reads its name in a story.
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
    }

    /// The status that refuses a nonce which was used before.
    pub(crate) fn refuses_used_nonces(self) -> Option<u16> {
        match self {
            Self::NonceOnce403 => Some(403),
            Self::NonceOnce400 => Some(400),
            Self::NonceOnce500 => Some(500),
            _ => None,
        }
    }
}

/// Chooses a server's habits: each in about nine of a hundred lives.
pub(crate) fn drawn(seed: u64) -> Vec<Habit> {
    // A random stream of its own, so that everything else in a story stays the same.
    let mut chance = Chance::new(seed ^ 0x6861_6269_7473_2121);
    Habit::ALL.into_iter().filter(|_| chance.hits(95)).collect()
}

/// Whether the lists of a server with these habits hide whose Contacts they name.
pub(crate) fn hide(habits: &[Habit]) -> bool {
    let hiding = [Habit::NothingListed, Habit::ContactRewritten, Habit::TransportLeftOut, Habit::ParametersIgnored];
    hiding.iter().any(|habit| habits.contains(habit))
}

/// The address that a NAT gives the phone: one for each address of the phone, with the same port.
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

/// The binding that a request means by a Contact in its listed form.
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
    fn each_habit_is_chosen_in_at_least_five_of_a_hundred_lives() {
        const LIVES: u64 = 10_000;
        for habit in Habit::ALL {
            let with = (0..LIVES).filter(|seed| Script::from_seed(*seed).setting.has(habit)).count() as u64;
            assert!(with * 20 >= LIVES, "{habit:?}: {with} of {LIVES}");
        }
    }

    #[test]
    fn a_contact_is_recognised_by_the_form_in_which_it_was_listed() {
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
