//! The phone: its accounts, its store, its clocks, and what its app was told.

use std::collections::{BTreeMap, BTreeSet};

use sipwake_core::account::{Account, AccountConfig, AccountKey, Transport};
use sipwake_core::clock::Now;
use sipwake_core::push::{Dialect, Dialects, PortSipHeader, Provider, Push, PushConfig};
use sipwake_core::snapshot::{REMOVALS, binding_key};
use sipwake_core::user_agent::UserAgent;

use crate::habits::Habit;
use crate::script::{Damage, Profile, Setting};
use crate::wire::SECOND_DOMAIN;

/// Returns the user part of an account's AOR.
pub(crate) fn user(account: usize) -> String {
    format!("user{account}")
}

/// The beginning of every password.
pub(crate) const PASSWORDS: &str = "open-sesame-";

/// Returns the account of a user.
pub(crate) fn account_of(user: &str) -> Option<usize> {
    user.strip_prefix("user")?.parse().ok()
}

/// Returns a user's password.
pub(crate) fn password(user: &str) -> String {
    format!("{PASSWORDS}{user}")
}

/// What the app remembers about an account, safely stored by itself.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) key: AccountKey,
    pub(crate) logged_in: bool,
    pub(crate) wants_push: bool,
    /// Counts the provider's tokens; 0 means none yet.
    pub(crate) token: u32,
    /// Counts the changes of its push settings.
    pub(crate) settings: u32,
    /// A record was damaged. Nobody can expect what it held.
    pub(crate) excused: bool,
    /// Logged out for longer than push services keep a message, if any wall clock says so.
    pub(crate) long_gone: bool,
}

/// A connection as the phone sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) up: bool,
    pub(crate) port: u16,
}

pub(crate) struct Phone {
    pub(crate) agent: Option<UserAgent>,
    pub(crate) apps: Vec<App>,
    pub(crate) store: BTreeMap<String, Vec<u8>>,
    /// What the core stored about the last wakes.
    pub(crate) black_box: Option<Vec<u8>>,
    /// Until when the store refuses everything.
    pub(crate) store_fails_until: u64,
    /// Until when the store cannot be read, because the phone has not been unlocked yet.
    pub(crate) shut_until: u64,
    /// This process started before it could read the store, and has not handled everything that it has read since.
    pub(crate) born_shut: bool,
    /// Records that this process has not read yet.
    pub(crate) unread: BTreeSet<String>,
    /// Keys whose last record the store refused: what it holds under them is out of date.
    pub(crate) unstored: BTreeSet<String>,
    /// Those of them that a killed process left behind.
    pub(crate) stale: BTreeSet<String>,
    /// The key is the core's own number and the number of the process.
    pub(crate) flows: BTreeMap<u64, Flow>,
    pub(crate) process: u64,
    pub(crate) address: u8,
    pub(crate) kill_after: Option<(u32, u64, bool)>,
    pub(crate) damage: Vec<(Option<usize>, Damage)>,
    boot_base: u64,
    wall_offset: i64,
    pub(crate) asleep_until: u64,
}

const EPOCH: i64 = 1_790_000_000_000;

impl Phone {
    pub(crate) fn new(setting: &Setting) -> Self {
        let app = |index| App {
            key: account(setting, index).key(),
            logged_in: true,
            wants_push: true,
            token: 0,
            settings: 0,
            excused: false,
            long_gone: false,
        };
        Self {
            agent: None,
            apps: (0..setting.accounts).map(app).collect(),
            store: BTreeMap::new(),
            black_box: None,
            store_fails_until: 0,
            shut_until: 0,
            born_shut: false,
            unread: BTreeSet::new(),
            unstored: BTreeSet::new(),
            stale: BTreeSet::new(),
            flows: BTreeMap::new(),
            process: 0,
            address: 1,
            kill_after: None,
            damage: Vec::new(),
            boot_base: 0,
            wall_offset: EPOCH,
            asleep_until: 0,
        }
    }

    pub(crate) fn now(&self, at: u64) -> Now {
        let wall = u64::try_from(at as i64 + self.wall_offset).unwrap_or(0);
        Now::new(millis(5000 + at - self.boot_base), millis(wall))
    }

    /// The simulation's time at which the boot clock shows `boot`.
    pub(crate) fn at(&self, boot: std::time::Duration) -> u64 {
        let millis = u64::try_from(boot.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        millis.saturating_add(self.boot_base).saturating_sub(5000)
    }

    pub(crate) fn reboot(&mut self, at: u64) {
        self.boot_base = at;
    }

    pub(crate) fn wall_jumps(&mut self, seconds: i64) {
        self.wall_offset = (self.wall_offset + seconds * 1000).max(1_000_000_000_000);
    }

    pub(crate) fn suffer_damage(&mut self) -> Vec<Option<usize>> {
        let mut hit = Vec::new();
        for (whose, damage) in std::mem::take(&mut self.damage) {
            let key = whose.map_or(REMOVALS.to_owned(), |index| binding_key(&self.apps[index].key));
            let Some(record) = self.store.get_mut(&key) else { continue };
            match damage {
                Damage::Truncated => record.truncate(record.len() * 2 / 3),
                Damage::Flipped => {
                    let at = record.len() / 2;
                    record[at] ^= 4;
                }
                Damage::Foreign => *record = b"{\"not\": \"ours\"}\n".to_vec(),
            }
            hit.push(whose);
        }
        hit
    }
}

fn millis(count: u64) -> std::time::Duration {
    std::time::Duration::from_millis(count)
}

/// Returns the token with this number.
pub(crate) fn token_text(setting: &Setting, account: usize, number: u32) -> String {
    let large = setting.apart.is_some_and(|apart| apart.large.is_some());
    let long = setting.has(Habit::ContactTooLong) || setting.has(Habit::ToCut);
    let more = if large {
        LARGE
    } else if long {
        LONG
    } else {
        0
    };
    let whose = if setting.has(Habit::WaitsByPn) { 0 } else { account };
    format!("token-{whose}-{number}:APA91bVerySecretIndeed{}", "x".repeat(more))
}

/// A token with this much more text: no Contact with it fits into 255 bytes.
const LONG: usize = 200;

/// A token with this much more text: no REGISTER with it fits into a datagram.
const LARGE: usize = 1000;

/// Returns the name of one of several gateways.
fn gateway(place: usize) -> String {
    format!("gw{place}.example.com")
}

/// Returns the index of a gateway by its host.
pub(crate) fn gateway_of(host: &str) -> Option<usize> {
    host.strip_prefix("gw")?.split('.').next()?.parse().ok()
}

pub(crate) fn account(setting: &Setting, index: usize) -> Account {
    let name = user(index);
    let mut config = AccountConfig::new(format!("sip:{}", aor(setting, index)), password(&name));
    config.auth_user = Some(name);
    if setting.shared_extension && setting.apart.is_none() && setting.profile != Profile::XMpush {
        config.outbound_proxy = Some("example.com".to_owned());
    }
    let given = setting.apart.is_none_or(|apart| apart.dns.is_none());
    config.transport = given.then_some(if setting.udp { Transport::Udp } else { Transport::Tcp });
    config.expires = setting.expires;
    config.instance_id = setting.instance.then(|| "urn:uuid:00000000-0000-4000-8000-00000000000a".to_owned());
    config.keep_alive = setting.keep_alive;
    config.allow_cleartext_secrets = setting.seed.is_multiple_of(2);
    if let Some(apart) = setting.apart {
        config.gateways = (0..apart.count).map(gateway).collect();
    } else if setting.profile == Profile::XMpush {
        config.gateways = vec!["gw1.example.com".into(), "gw2.example.com:35060".into()];
    }
    Account::parse(config).expect("a good account")
}

/// Returns an account's AOR without its scheme.
pub(crate) fn aor(setting: &Setting, index: usize) -> String {
    match index {
        1 if setting.shared_extension => format!("{}@{SECOND_DOMAIN}", user(0)),
        _ => format!("{}@example.com", user(index)),
    }
}

/// Returns the push settings after this many changes: another package each time.
pub(crate) fn push(setting: &Setting, changes: u32) -> Push {
    let package = if changes.is_multiple_of(2) { "app" } else { "other" };
    let mut config = PushConfig::new(Provider::Fcm, package);
    config.dialects = match setting.profile {
        Profile::Flexisip => Dialects::Only(vec![Dialect::Linphone]),
        Profile::PortSip => Dialects::Only(vec![Dialect::PortSip(PortSipHeader::XPush)]),
        Profile::XMpush if setting.seed.is_multiple_of(3) => Dialects::Only(vec![Dialect::XMpush]),
        Profile::Rfc8599 | Profile::OpenSips if setting.seed.is_multiple_of(3) => {
            Dialects::Only(vec![Dialect::Rfc8599])
        }
        _ => Dialects::Auto,
    };
    Push::parse(config).expect("good settings")
}
