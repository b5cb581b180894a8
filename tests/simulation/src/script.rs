//! A story: its setting, and its events with their times. It comes from a seed or from a file.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::habits::{self, Habit};
use crate::world::Attack;

/// One second, in the unit of all times here.
pub(crate) const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// RFC 8599 to the letter, with `Feature-Caps`.
    Rfc8599,
    /// Answers 555 to every `pn-provider`.
    Rfc8599Refusing,
    /// Mizutech's gateway.
    XMpush,
    /// Contacts with the same `pn-*` are the same; `Feature-Caps` without `*;`.
    OpenSips,
    /// Linphone's tags, no `Feature-Caps`.
    Flexisip,
    /// `X-Push`.
    PortSip,
    /// No push at all.
    None,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Rfc8599, Self::Rfc8599Refusing, Self::XMpush, Self::OpenSips, Self::Flexisip, Self::PortSip, Self::None];
}

/// Gateways that share nothing: each is a registrar of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apart {
    /// How many there are.
    pub count: usize,
    /// The account names no transport. The DNS has TCP for the gateways of these bits, and UDP for the others.
    pub dns: Option<u8>,
    /// Requests are too large for a datagram to the gateways of these bits, which listen on TCP for them.
    pub large: Option<u8>,
}

impl Apart {
    /// Whether the DNS says TCP for a gateway.
    pub(crate) fn is_tcp(self, gateway: usize) -> bool {
        self.dns.is_some_and(|bits| bits >> gateway & 1 == 1)
    }

    /// Whether a gateway gets large requests only over TCP.
    pub(crate) fn wants_large_over_tcp(self, gateway: usize) -> bool {
        self.large.is_some_and(|bits| bits >> gateway & 1 == 1)
    }
}

/// What stays the same for the whole story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The seed for the network's and the core's random numbers.
    pub seed: u64,
    /// The server.
    pub profile: Profile,
    /// What this server does beyond the standards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub habits: Vec<Habit>,
    /// Both accounts have the same extension, at two domains.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared_extension: bool,
    /// How long after the judgement of a push the app hands it over, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub push_gap: u64,
    /// UDP, or else TCP.
    pub udp: bool,
    /// There is an attacker.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attacked: bool,
    /// The gateways, if there are several that share nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<Apart>,
    /// Accounts on the phone, one or two.
    pub accounts: usize,
    /// The lifetime that the accounts ask for, in seconds.
    pub expires: u32,
    /// The accounts have an instance id.
    pub instance: bool,
    /// The accounts ask for keep-alives with this interval in seconds.
    pub keep_alive: Option<u32>,
    /// How many of 1000 datagrams are lost.
    pub loss: u32,
    /// How many of 1000 datagrams come twice.
    pub duplication: u32,
    /// The network's delay in milliseconds: from, to. Datagrams may overtake each other.
    pub delay: (u64, u64),
    /// How many of 1000 pushes are lost, and how many come twice.
    pub push_loss: u32,
    /// The longest that a push takes, in milliseconds.
    pub push_delay: u64,
    /// How long a nonce lives, in seconds.
    pub nonce_life: u64,
    /// How long the story is. Quiet time follows.
    pub length: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Setting {
    /// Whether the server has this habit.
    pub(crate) fn has(&self, habit: Habit) -> bool {
        self.habits.contains(&habit)
    }

    /// Whether flows open over UDP, unless the DNS or a request's size says otherwise.
    pub(crate) fn udp_at_first(&self) -> bool {
        self.udp || self.apart.is_some_and(|apart| apart.dns.is_some())
    }
}

/// Something that happens to a stored record while the process is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// The end is missing.
    Truncated,
    /// One bit is flipped.
    Flipped,
    /// Foreign bytes.
    Foreign,
}

/// An event of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// The app asks to register.
    Register(usize),
    /// The provider gives this account another token.
    NewToken(usize),
    /// The provider gives the token again.
    SameToken(usize),
    /// The provider gives a text that is no token.
    NullToken(usize),
    /// The user wants no pushes.
    Unbind(usize),
    /// The user logs out.
    LogOut(usize),
    /// The user logs in, or wants pushes again.
    LogIn(usize),
    /// The app asks for the server's push capabilities.
    Query(usize),
    /// Another network, with another address.
    NetworkChange,
    /// Nothing gets through for this long.
    Partition(u64),
    /// A gateway receives nothing for this long, and its connections break.
    Down(usize, u64),
    /// A gateway responds to this many REGISTERs with this status.
    TroubleAt(usize, u16, u8),
    /// A gateway reports how busy it is.
    Load(usize, u8),
    /// The server restarts, with or without its bindings.
    ServerRestart {
        /// Whether bindings survive.
        keep: bool,
    },
    /// All nonces are forgotten.
    NoncesExpire,
    /// The next REGISTERs, this many, are answered with this status.
    Trouble(u16, u8),
    /// The phone's wall clock jumps by this many seconds.
    WallJump(i64),
    /// The phone sleeps so deeply that no timer runs.
    Sleep(u64),
    /// The process is killed after this many further outputs of the core, and started again later.
    Kill {
        /// Outputs that are still done.
        after: u32,
        /// The time until the next start.
        down: u64,
        /// The phone also restarts: its boot clock begins again.
        reboot: bool,
    },
    /// The next time the process is dead, the record of an account (`None`: the record of the log-outs) is damaged.
    Damage(Option<usize>, Damage),
    /// Somebody calls, and gives up after this long.
    Call(usize, u64),
    /// The push of a call that ended long ago: the push service kept it.
    LatePush(usize),
    /// The store refuses every record for this long.
    StoreFails(u64),
    /// The phone restarts, and nobody unlocks it for this long. Until then the store cannot be read.
    StoreShut(u64),
    /// From here on the user has another password, and the phone never learns it.
    PasswordChanges(usize),
    /// The app changes the push settings of this account.
    Settings(usize),
    /// Only in settings with an attacker.
    Attack(Attack),
}

/// A whole story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What stays the same.
    pub setting: Setting,
    /// What happens, in order of time (milliseconds).
    pub happenings: Vec<(u64, Happening)>,
}

impl Script {
    /// Makes up the story of a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x7369_7077_616b_6521);
        let profile = *chance.pick(&Profile::ALL);
        let calm = chance.hits(250);
        let setting = Setting {
            seed,
            profile,
            habits: Vec::new(),
            shared_extension: false,
            push_gap: if seed % 10 == 7 { seed % 3001 } else { 0 },
            udp: chance.hits(650),
            attacked: false,
            apart: chance.hits(350).then(|| apart(&mut chance)),
            accounts: if chance.hits(250) { 2 } else { 1 },
            expires: *chance.pick(&[300, 3600, 3600, 3600, 7200, 86400]),
            instance: chance.hits(400),
            keep_alive: chance.hits(50).then_some(600),
            loss: if calm { 0 } else { *chance.pick(&[0, 20, 100, 300]) },
            duplication: if calm { 0 } else { *chance.pick(&[0, 50, 200]) },
            delay: *chance.pick(&[(5, 30), (20, 400), (50, 2500)]),
            push_loss: *chance.pick(&[0, 50, 400]),
            push_delay: *chance.pick(&[200, 3 * SECOND, 90 * SECOND]),
            nonce_life: *chance.pick(&[30, 300, 3600, 100_000]),
            length: *chance.pick(&[2 * HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 72 * HOUR]),
        };
        // A random stream of its own, so that everything else in a story stays the same.
        let mut later = Chance::new(seed ^ 0x7365_7474_696e_6773);
        let setting = Setting {
            habits: habits::drawn(seed),
            shared_extension: setting.accounts > 1 && later.hits(400),
            ..setting
        };
        let count = chance.between(4, 40);
        let mut happenings: Vec<(u64, Happening)> = Vec::new();
        while happenings.len() < count as usize {
            let mut at = chance.between(0, setting.length);
            let first = happening(&setting, &mut chance);
            happenings.push((at, first));
            happenings.extend(beside(&setting, (at, first), &mut chance));
            // Failures often come together: half of them are followed by another one within seconds.
            while chance.hits(400) {
                let within = *chance.pick(&[10, SECOND, 40 * SECOND]);
                at += chance.between(0, within);
                happenings.push((at, happening(&setting, &mut chance)));
            }
        }
        if chance.hits(40) {
            let who = chance.between(0, setting.accounts as u64 - 1) as usize;
            happenings.push((chance.between(0, setting.length), Happening::PasswordChanges(who)));
        }
        while later.hits(250) {
            let who = later.between(0, setting.accounts as u64 - 1) as usize;
            happenings.push((later.between(0, setting.length), Happening::Settings(who)));
        }
        while later.hits(150) {
            let shut = *later.pick(&[20 * SECOND, 5 * MINUTE, HOUR, 3 * HOUR]);
            happenings.push((later.between(0, setting.length), Happening::StoreShut(later.between(SECOND, shut))));
        }
        // At a server that lists nothing, the phone relies on its clocks, and not on what it learnt, as long as it is
        // new there.
        if later.hits(if setting.has(Habit::NothingListed) { 500 } else { 50 }) {
            let who = later.between(0, setting.accounts as u64 - 1) as usize;
            let at = later.between(0, setting.length / 4);
            let ahead = *later.pick(&[7200, 86_400 * 400]);
            let steps = [
                Happening::NewToken(who),
                Happening::LogOut(who),
                Happening::LogIn(who),
                Happening::WallJump(ahead),
                Happening::NewToken(who),
            ];
            let gap = later.between(40, 300) * SECOND;
            happenings.extend((0..).map(|step| at + step * gap).zip(steps));
        }
        happenings.sort_by_key(|(at, _)| *at);
        Self { setting, happenings }
    }

    /// Makes up the story of a seed with an attacker in it, and calls to attack.
    pub fn attacked(seed: u64) -> Self {
        let mut script = Self::from_seed(seed);
        let mut chance = Chance::new(seed ^ 0x6174_7461_636b_6564);
        script.setting.attacked = true;
        for _ in 0..chance.between(6, 24) {
            let at = chance.between(0, script.setting.length);
            let who = chance.between(0, script.setting.accounts as u64 - 1) as usize;
            script.happenings.push((at, Happening::Attack(Attack::drawn(&mut chance))));
            let company = at + chance.between(0, 50 * SECOND);
            script.happenings.push((company, Happening::Call(who, *chance.pick(&[15 * SECOND, 60 * SECOND]))));
            script.happenings.push((at + chance.between(0, 3 * SECOND), Happening::Register(who)));
        }
        script.happenings.sort_by_key(|(at, _)| *at);
        script
    }

    /// Writes the story as lines of JSON: the setting, then each event.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string(&self.setting).expect("plain data");
        text.push('\n');
        for happening in &self.happenings {
            text.push_str(&serde_json::to_string(happening).expect("plain data"));
            text.push('\n');
        }
        text
    }

    /// Reads the output of [`to_text`](Self::to_text). Lines that begin with `#` are comments.
    ///
    /// # Errors
    /// An error of the JSON parser, for an invalid line.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let setting = serde_json::from_str(lines.next().unwrap_or_default())?;
        let happenings = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self { setting, happenings })
    }
}

fn apart(chance: &mut Chance) -> Apart {
    let bits = |chance: &mut Chance| chance.between(0, 7) as u8;
    Apart {
        count: if chance.hits(300) { 3 } else { 2 },
        dns: chance.hits(500).then(|| bits(chance)),
        large: chance.hits(250).then(|| bits(chance)),
    }
}

/// A new token at the moment a gateway fails; or the next gateway goes down, too.
fn beside(setting: &Setting, (at, what): (u64, Happening), chance: &mut Chance) -> Vec<(u64, Happening)> {
    let mut company = Vec::new();
    let (Some(apart), Happening::Down(gateway, _) | Happening::TroubleAt(gateway, ..)) = (setting.apart, what) else {
        return company;
    };
    if let Happening::Down(_, length) = what
        && chance.hits(300)
    {
        let next = (gateway + 1) % apart.count;
        let then = (at + chance.between(0, length)).min(setting.length);
        company.push((then, Happening::Down(next, down_for(chance))));
    }
    if chance.hits(400) {
        let who = chance.between(0, setting.accounts as u64 - 1) as usize;
        company.push((at + chance.between(0, 40 * SECOND), Happening::NewToken(who)));
    }
    company
}

fn down_for(chance: &mut Chance) -> u64 {
    *chance.pick(&[20 * SECOND, 3 * MINUTE, 20 * MINUTE, 2 * HOUR])
}

/// Makes the phone leave its gateway, or keeps it from reaching the left one.
fn at_a_gateway(apart: Apart, chance: &mut Chance) -> Happening {
    let gateway = if chance.hits(600) { 0 } else { chance.between(0, apart.count as u64 - 1) as usize };
    match chance.between(0, 9) {
        0..5 => Happening::Down(gateway, down_for(chance)),
        5..7 => Happening::TroubleAt(gateway, *chance.pick(&[500, 503, 480, 408]), chance.between(1, 4) as u8),
        _ => Happening::Load(gateway, chance.between(0, 4) as u8),
    }
}

fn happening(setting: &Setting, chance: &mut Chance) -> Happening {
    if let Some(apart) = setting.apart.filter(|_| chance.hits(250)) {
        return at_a_gateway(apart, chance);
    }
    let who = chance.between(0, setting.accounts as u64 - 1) as usize;
    match chance.between(0, 107) {
        0..8 => Happening::NewToken(who),
        8..12 => Happening::SameToken(who),
        12..15 => Happening::NullToken(who),
        15..21 => Happening::Unbind(who),
        21..28 => Happening::LogOut(who),
        28..36 => Happening::LogIn(who),
        36..38 => Happening::Query(who),
        38..42 => Happening::Register(who),
        42..50 => Happening::NetworkChange,
        50..56 => Happening::Partition(chance.between(SECOND, 2 * HOUR)),
        56..61 => Happening::ServerRestart { keep: chance.hits(600) },
        61..64 => Happening::NoncesExpire,
        64..68 => Happening::Trouble(*chance.pick(&[500, 503, 480, 408, 423]), chance.between(1, 4) as u8),
        68..72 => Happening::WallJump(*chance.pick(&[-86_400 * 400, -7200, -60, 60, 7200, 86_400 * 400])),
        72..76 => Happening::Sleep(*chance.pick(&[MINUTE, 20 * MINUTE, 3 * HOUR, 60 * HOUR])),
        76..86 => Happening::Kill {
            after: if chance.hits(300) { 0 } else { chance.between(1, 12) as u32 },
            down: *chance.pick(&[10, SECOND, MINUTE, 5 * HOUR]),
            reboot: chance.hits(300),
        },
        86..88 => Happening::Damage(
            chance.hits(700).then_some(who),
            *chance.pick(&[Damage::Truncated, Damage::Flipped, Damage::Foreign]),
        ),
        88..93 => Happening::LatePush(who),
        93..96 => Happening::StoreFails(*chance.pick(&[SECOND, MINUTE, 20 * MINUTE, 3 * HOUR])),
        _ => Happening::Call(who, *chance.pick(&[2 * SECOND, 15 * SECOND, 60 * SECOND])),
    }
}
