//! What real servers do differently from the standards: each is a switch with a name and a source.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer};

use crate::parse::{Message, NameAddr};
use crate::tags::{Dialect, PushTarget};

macro_rules! habits {
    ($($variant:ident $name:literal, $does:literal, $seen:literal;)*) => {
        /// One thing that a server does differently.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Habit {
            $(#[doc = $does] $variant,)*
        }

        impl Habit {
            /// Every habit.
            pub const ALL: [Habit; [$($name),*].len()] = [$(Habit::$variant),*];

            /// Returns the name that the command line and the control port use.
            pub fn name(self) -> &'static str {
                match self { $(Habit::$variant => $name,)* }
            }

            /// Returns what the server does.
            pub fn does(self) -> &'static str {
                match self { $(Habit::$variant => $does,)* }
            }

            /// Returns the servers that do it, or where it was reported.
            pub fn seen(self) -> &'static str {
                match self { $(Habit::$variant => $seen,)* }
            }
        }
    };
}

habits! {
    NonceOnce403 "nonce-once-403", "Refuses a nonce that was used before with 403, without a challenge.", "Clearwater Sprout (issue 1217), JAIN SIP (issue 181)";
    NonceOnce400 "nonce-once-400", "Refuses a nonce that was used before with 400, without a challenge.", "registrars that check replays before the syntax";
    NonceOnce500 "nonce-once-500", "Refuses a nonce that was used before with 500, without a challenge.", "registrars that forget a nonce at once";
    StaleMissing "stale-missing", "Sends no stale=true when a nonce has expired.", "Kamailio; many servers, according to baresip's issue 786";
    StaleAlways "stale-always", "Says stale=true in every challenge, even to a wrong password.", "home-made registrars";
    StaleFourTimes "stale-four-times", "Refuses the first four responses to a challenge, with stale=true.", "clusters whose nodes do not share nonces";
    ChallengeMissing "challenge-missing", "Responds 401 without a challenge.", "MagnusBilling (issue 750)";
    AlgorithmUnknown "algorithm-unknown", "Offers only an algorithm that phones outside of IMS do not support (AKAv2-SHA-256).", "IMS cores";
    RealmChanges "realm-changes", "Names another realm after the first registration.", "a cluster in migration, a proxy in front that challenges refreshes";
    WrongServerProof "wrong-server-proof", "Sends a wrong rspauth: whoever made it does not know the password.", "a proxy that responds for the registrar, or an attacker";
    AuthUriElsewhere "auth-uri-elsewhere", "Names another host in X-Sy.AuthURI, and refuses digests for that host.", "an attacker on the path";

    ContactRewritten "contact-rewritten", "Lists our Contact with the address that it saw.", "Asterisk with rewrite_contact, session border controllers, PJSIP's issue 534";
    ContactEscaped "contact-escaped", "Lists our Contact with other characters escaped.", "OpenSIPS, Kamailio behind topology hiding";
    ContactShortened "contact-shortened", "Lists our Contact without transport and other parameters.", "AudioCodes, older Asterisk";
    ContactCrowd "contact-crowd", "Lists 200 other Contacts, all in one line.", "FreeSWITCH with multiple registrations, Twilio";
    ContactBrokenNeighbour "contact-broken-neighbour", "Lists an unreadable Contact of another device before ours.", "PJSIP's issue 534";
    ContactUnlisted "contact-unlisted", "Lists no Contact at all.", "session border controllers, PJSIP's issue 534";
    ContactTooLong "contact-too-long", "Refuses a Contact of more than 255 bytes with 400 and P-Registrar-Error.", "OpenSIPS (issue 3303), Kamailio, Linphone's issue 1688";

    LifetimeCut "lifetime-cut", "Allows one minute, whatever lifetime was requested.", "session border controllers that keep NAT open";
    LifetimeInHeader "lifetime-in-header", "Gives the lifetime only in the Expires header.", "AudioCodes (JsSIP's issue 482)";
    LifetimeUnsaid "lifetime-unsaid", "Gives no lifetime at all.", "home-made registrars";
    LifetimeZero "lifetime-zero", "Responds 200 with a lifetime of 0.", "Asterisk with max_contacts 0";
    LifetimeTooBrief "lifetime-too-brief", "Refuses each lifetime with 423 and asks for twice as much.", "a misconfigured session border controller";

    RemovalKeepsRfc8599 "removal-keeps-rfc8599", "Keeps pushing to pn-* after Expires: 0.", "Mizutech (pushnotification_disableunreg)";
    RemovalKeepsXmpush "removal-keeps-xmpush", "Keeps pushing after Expires: 0 without X-MPUSH: null.", "Mizutech (pushnotification_disableunreg)";
    RemovalRefused "removal-refused", "Refuses each removal with 403.", "Metaswitch with lapsed subscribers";
    RemovalRedirected "removal-redirected", "Redirects each removal to another host.", "load balancers";
    RemovalNotDone "removal-not-done", "Responds 200 to a removal and still lists the Contact.", "registrars with a database behind a cache";
    RemovalNeedsNoPush "removal-needs-no-push", "Responds 555 to a removal that carries pn-*.", "an RFC 8599 proxy whose push provider was turned off";
    OldTokenStays "old-token-stays", "Treats a new token as another device, and keeps the old one.", "OpenSIPS, Kamailio";

    PushLater555 "push-later-555", "Responds 555 from the second registration on.", "an operator who turns push off";
    PushUnsaid "push-unsaid", "Pushes, but sends no Feature-Caps.", "Kamailio, Flexisip";
    PushOtherProvider "push-other-provider", "Names another push provider in Feature-Caps.", "a server that is configured for iOS only";
    PushStripped "push-stripped", "Drops pn-* and X-MPUSH without an error.", "session border controllers with topology hiding, Asterisk";
    PushNever "push-never", "Confirms push and never sends one.", "a server without credentials for FCM or APNs";

    RefusedAtTimes "refused-at-times", "Refuses every third REGISTER with 403.", "a cluster with one node out of order (Sprout's issue 1616)";
    BusyAtTimes "busy-at-times", "Refuses every third REGISTER with 503 and Retry-After.", "an overloaded registrar";
    UnknownAtFirst "unknown-at-first", "Responds 404 to a user's first REGISTER.", "a registrar that loads its users late";
    RedirectedInCircles "redirected-in-circles", "Redirects every REGISTER to itself.", "a load balancer with one node";
    Silent "silent", "Never responds to a REGISTER.", "fail2ban, a firewall";
    Slow "slow", "Responds to a REGISTER after six seconds.", "a registrar with a slow database";
    ClosesAfterwards "closes-afterwards", "Closes the connection after each registration.", "load balancers with a short idle time";

    FlowTimer "flow-timer", "Wants keep-alives (Flow-Timer: 10).", "RFC 5626 edge proxies: Kamailio with outbound, Flexisip";
    NoPong "no-pong", "Does not respond to keep-alives.", "servers without RFC 5626";
    ViaUnfilled "via-unfilled", "Sends neither received nor rport.", "servers without RFC 3581";

    ToCut "to-cut", "Calls with a long To, and cuts it off at 255 bytes in ACK and BYE, so the tag is lost.", "Asterisk's chan_sip (Linphone's issues 152 and 1127)";
    CallIdRenamed "call-id-renamed", "Sends the INVITE under another Call-ID than its push announced.", "back-to-back user agents: Asterisk, FreeSWITCH";
    AliasInTo "alias-in-to", "Writes a ring group into the To of an INVITE.", "Asterisk queues, FreePBX ring groups";
}

impl Habit {
    /// Returns the habit of this name.
    pub fn named(name: &str) -> Option<Habit> {
        Habit::ALL.into_iter().find(|habit| habit.name() == name)
    }
}

impl fmt::Display for Habit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Habit {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let name = String::deserialize(value)?;
        Habit::named(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown habit {name}")))
    }
}

/// The habits of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits(u64);

impl Habits {
    /// Returns the habits of a list.
    pub fn of(habits: &[Habit]) -> Habits {
        Habits(habits.iter().fold(0, |set, habit| set | 1 << *habit as u32))
    }

    /// Tells whether the server has a habit.
    pub fn has(self, habit: Habit) -> bool {
        self.0 & 1 << habit as u32 != 0
    }

    /// Tells whether the server continues pushing to a target whose binding was removed.
    pub(crate) fn keeps(self, push: &PushTarget) -> bool {
        match push.dialect {
            Dialect::Rfc8599 => self.has(Habit::RemovalKeepsRfc8599),
            Dialect::Mpush => self.has(Habit::RemovalKeepsXmpush),
            _ => false,
        }
    }

    /// Returns the status for an answer with a nonce that was used before.
    pub(crate) fn nonce_once(self) -> Option<u16> {
        [(Habit::NonceOnce403, 403), (Habit::NonceOnce400, 400), (Habit::NonceOnce500, 500)]
            .into_iter()
            .find_map(|(habit, status)| self.has(habit).then_some(status))
    }

    /// Returns the response to a user's `number`th REGISTER that comes before every other check.
    pub(crate) fn refusal(self, number: u32, message: &Message, own: &str) -> Option<(u16, Vec<(String, String)>)> {
        let third = number.is_multiple_of(3);
        if self.has(Habit::ChallengeMissing) && message.header("Authorization").is_none() {
            return Some((401, Vec::new()));
        }
        if self.has(Habit::RedirectedInCircles) {
            return Some((302, vec![("Contact".into(), format!("<{own}>"))]));
        }
        if self.has(Habit::UnknownAtFirst) && number == 1 {
            return Some((404, Vec::new()));
        }
        if self.has(Habit::BusyAtTimes) && third {
            return Some((503, vec![("Retry-After".into(), "2".into())]));
        }
        (self.has(Habit::RefusedAtTimes) && third).then(|| (403, Vec::new()))
    }

    /// Returns the response to a REGISTER that only removes Contacts.
    pub(crate) fn removal_refusal(self, pushes: bool) -> Option<(u16, Vec<(String, String)>)> {
        if self.has(Habit::RemovalRefused) {
            return Some((403, Vec::new()));
        }
        if self.has(Habit::RemovalRedirected) {
            return Some((302, vec![("Contact".into(), "<sip:192.0.2.99>".into())]));
        }
        (self.has(Habit::RemovalNeedsNoPush) && pushes).then(|| (555, Vec::new()))
    }

    /// Returns the response to a Contact that comes instead of a binding. `registered` counts the user's registrations
    /// so far.
    pub(crate) fn contact_refusal(
        self,
        contact: &NameAddr,
        expires: u32,
        registered: u32,
    ) -> Option<(u16, Vec<(String, String)>)> {
        let push = contact.uri.contains(";pn-");
        if self.has(Habit::ContactTooLong) && contact.uri.len() > 255 {
            return Some((400, vec![("P-Registrar-Error".into(), "Contact/received too long".into())]));
        }
        if expires == 0 {
            return None;
        }
        if self.has(Habit::LifetimeTooBrief) {
            return Some((423, vec![("Min-Expires".into(), expires.saturating_mul(2).to_string())]));
        }
        (self.has(Habit::PushLater555) && push && registered > 0).then(|| (555, Vec::new()))
    }

    /// Changes the header fields of a 200 to a REGISTER. `ours` is the Contact URI of the client, `seen` its address.
    pub(crate) fn twist(self, headers: &mut Vec<(String, String)>, ours: &[String], seen: Option<SocketAddr>) {
        if self.has(Habit::PushUnsaid) || self.has(Habit::PushStripped) {
            headers.retain(|(name, _)| name != "Feature-Caps");
        }
        if self.has(Habit::PushOtherProvider) {
            let caps = headers.iter_mut().filter(|(name, _)| name == "Feature-Caps");
            caps.for_each(|(_, value)| *value = "*;+sip.pns=\"acme\"".into());
        }
        if self.has(Habit::WrongServerProof) {
            headers.retain(|(name, _)| name != "Authentication-Info");
            headers.push(("Authentication-Info".into(), format!("qop=auth, rspauth=\"{}\"", "0".repeat(32))));
        }
        if self.has(Habit::FlowTimer) {
            headers.push(("Flow-Timer".into(), "10".into()));
        }
        self.twist_contacts(headers, ours, seen);
    }

    fn twist_contacts(self, headers: &mut Vec<(String, String)>, ours: &[String], seen: Option<SocketAddr>) {
        let mut contacts = Vec::new();
        headers.retain(|(name, value)| {
            let contact = name == "Contact";
            if contact {
                contacts.push(value.clone());
            }
            !contact
        });
        let mut lifetime = None;
        for value in &mut contacts {
            let Some((uri, after)) = value.strip_prefix('<').and_then(|rest| rest.split_once('>')) else { continue };
            let mut uri = uri.to_owned();
            let mut after = after.to_owned();
            let mine = ours.contains(&uri);
            let left = after.split(';').find_map(|param| param.strip_prefix("expires=")).map(str::to_owned);
            if mine {
                lifetime = left.clone();
                uri = self.twisted_uri(&uri, seen);
            }
            let said = left.map(|left| format!(";expires={left}")).unwrap_or_default();
            if self.has(Habit::LifetimeInHeader) || self.has(Habit::LifetimeUnsaid) {
                after = after.replacen(&said, "", 1);
            }
            if self.has(Habit::LifetimeZero) && mine {
                after = after.replacen(&said, ";expires=0", 1);
            }
            *value = format!("<{uri}>{after}");
        }
        if self.has(Habit::LifetimeInHeader) || self.has(Habit::ContactUnlisted) {
            headers.extend(lifetime.map(|left| ("Expires".to_owned(), left)));
        }
        if self.has(Habit::LifetimeZero) {
            headers.push(("Expires".into(), "0".into()));
        }
        if self.has(Habit::ContactUnlisted) {
            return;
        }
        if self.has(Habit::ContactBrokenNeighbour) {
            contacts.insert(0, "<sip:other@192.0.2.10:5060transport=udp>;expires=3000,: <sip:@>;expires=7".into());
        }
        if self.has(Habit::ContactCrowd) {
            let crowd =
                (0..200).map(|n| format!("<sip:device{n}@192.0.2.{}:5060;transport=tcp>;expires={}", n % 250, 20 + n));
            contacts = vec![crowd.chain(contacts).collect::<Vec<_>>().join(", ")];
        }
        headers.extend(contacts.into_iter().map(|value| ("Contact".to_owned(), value)));
    }

    fn twisted_uri(self, uri: &str, seen: Option<SocketAddr>) -> String {
        let mut uri = uri.to_owned();
        if self.has(Habit::PushStripped) {
            uri = kept_params(&uri, |name| !name.starts_with("pn-"));
        }
        if self.has(Habit::ContactShortened) {
            uri = kept_params(&uri, |name| name.starts_with("pn-"));
        }
        if self.has(Habit::ContactEscaped) {
            let (address, params) = uri.split_once(';').unwrap_or((&uri, ""));
            let params: String = params.chars().map(|c| escaped(c).unwrap_or_else(|| c.to_string())).collect();
            uri = if params.is_empty() { address.to_owned() } else { format!("{address};{params}") };
        }
        if self.has(Habit::ContactRewritten) {
            let (user, rest) = uri.split_once('@').unwrap_or(("sip:", &uri));
            let params = rest.split_once(';').map(|(_, params)| format!(";{params}")).unwrap_or_default();
            let port = seen.map_or(5060, |seen| seen.port());
            uri = format!("{user}@203.0.113.5:{port}{params}");
        }
        uri
    }
}

/// Escapes characters that need no escape in a parameter's value, as some servers do (RFC 3261, 19.1.4: the values are still
/// equal).
fn escaped(c: char) -> Option<String> {
    matches!(c, ':' | '_').then(|| format!("%{:02X}", u32::from(c)))
}

fn kept_params(uri: &str, keeps: impl Fn(&str) -> bool) -> String {
    let mut parts = uri.split(';');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for param in parts.filter(|param| keeps(param.split('=').next().unwrap_or_default())) {
        out.push(';');
        out.push_str(param);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_habit_has_its_own_name_an_effect_and_a_source() {
        for habit in Habit::ALL {
            assert_eq!(Habit::named(habit.name()), Some(habit));
            assert!(habit.does().ends_with('.') && !habit.seen().is_empty(), "{habit}");
            assert!(Habits::of(&[habit]).has(habit));
            assert!(!Habits::default().has(habit));
        }
        assert!(Habit::ALL.len() <= 64, "a set is 64 bits");
    }

    fn twisted(habit: Habit) -> Vec<(String, String)> {
        let ours = "sip:alice@10.0.0.7:5060;transport=tcp;pn-provider=fcm;pn-prid=a:b".to_owned();
        let mut headers = vec![
            ("Feature-Caps".to_owned(), "*;+sip.pns=\"fcm\"".to_owned()),
            ("Contact".to_owned(), format!("<{ours}>;expires=3600;q=1")),
        ];
        Habits::of(&[habit]).twist(&mut headers, &[ours], None);
        headers
    }

    #[test]
    fn a_contact_is_listed_as_the_habit_says() {
        let contact = |habit| twisted(habit).into_iter().find(|(name, _)| name == "Contact").map(|(_, value)| value);
        for (habit, expected) in [
            (
                Habit::ContactRewritten,
                "<sip:alice@203.0.113.5:5060;transport=tcp;pn-provider=fcm;pn-prid=a:b>;expires=3600;q=1",
            ),
            (
                Habit::ContactEscaped,
                "<sip:alice@10.0.0.7:5060;transport=tcp;pn-provider=fcm;pn-prid=a%3Ab>;expires=3600;q=1",
            ),
            (Habit::ContactShortened, "<sip:alice@10.0.0.7:5060;pn-provider=fcm;pn-prid=a:b>;expires=3600;q=1"),
            (Habit::PushStripped, "<sip:alice@10.0.0.7:5060;transport=tcp>;expires=3600;q=1"),
            (Habit::LifetimeUnsaid, "<sip:alice@10.0.0.7:5060;transport=tcp;pn-provider=fcm;pn-prid=a:b>;q=1"),
            (Habit::LifetimeZero, "<sip:alice@10.0.0.7:5060;transport=tcp;pn-provider=fcm;pn-prid=a:b>;expires=0;q=1"),
        ] {
            assert_eq!(contact(habit).as_deref(), Some(expected), "{habit}");
        }
        assert_eq!(contact(Habit::ContactUnlisted), None);
        assert!(contact(Habit::ContactCrowd).is_some_and(|line| line.len() > 8192));
    }

    #[test]
    fn a_lifetime_given_only_in_the_header_is_the_clients_own() {
        assert!(twisted(Habit::LifetimeInHeader).contains(&("Expires".to_owned(), "3600".to_owned())));
    }
}
