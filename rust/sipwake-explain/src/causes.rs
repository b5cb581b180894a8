//! Why a phone did not ring, and who can fix it. The first cause that fits is the most probable one.

use sipwake_core::record::{Obstacle, Report, StandbyBucket};

use crate::wake::{Outcome, Wake};

/// Who can fix it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Who {
    /// The app's developers.
    App,
    /// The phone's user, in its settings.
    Phone,
    /// The push provider, and how the server uses it.
    PushProvider,
    /// The operator of the SIP server.
    Server,
    /// The operator of the network between phone and server.
    Network,
    /// Nobody: it is as it should be.
    Nobody,
}

impl Who {
    /// A stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Phone => "phone's settings",
            Self::PushProvider => "push provider",
            Self::Server => "SIP server",
            Self::Network => "network",
            Self::Nobody => "nobody",
        }
    }
}

/// One cause of the list.
#[derive(Debug)]
pub struct Cause {
    /// A stable name.
    pub code: &'static str,
    /// Who can fix it.
    pub who: Who,
    /// What happened.
    pub what: &'static str,
    /// What to do.
    pub mend: &'static str,
    fits: Fits,
}

#[derive(Debug)]
enum Fits {
    /// The cause of a wake that did not work.
    Wake(fn(&Wake, &Report) -> bool),
    /// The state of phone and app, whatever the wakes are.
    Phone(fn(&Report, &[Wake]) -> bool),
}

pub(crate) fn of_wake(wake: &Wake, report: &Report) -> Vec<&'static Cause> {
    if wake.outcome().is_well() {
        return Vec::new();
    }
    let fitting = CAUSES.iter().filter(|cause| matches!(cause.fits, Fits::Wake(fits) if fits(wake, report)));
    fitting.collect()
}

pub(crate) fn of_phone(report: &Report, wakes: &[Wake]) -> Vec<&'static Cause> {
    CAUSES.iter().filter(|cause| matches!(cause.fits, Fits::Phone(fits) if fits(report, wakes))).collect()
}

const fn wake(
    code: &'static str,
    who: Who,
    what: &'static str,
    mend: &'static str,
    fits: fn(&Wake, &Report) -> bool,
) -> Cause {
    Cause { code, who, what, mend, fits: Fits::Wake(fits) }
}

const fn phone(
    code: &'static str,
    who: Who,
    what: &'static str,
    mend: &'static str,
    fits: fn(&Report, &[Wake]) -> bool,
) -> Cause {
    Cause { code, who, what, mend, fits: Fits::Phone(fits) }
}

fn silent(wake: &Wake, why: &str) -> bool {
    wake.says("push-judged", "silence", why)
}

/// Whether the way to the server failed with one of these words.
fn trouble(wake: &Wake, why: &[&str]) -> bool {
    let names = ["flow-down", "registration-failed", "registration-stopped", "next-gateway"];
    names.iter().any(|name| why.iter().any(|why| wake.says(name, "why", why)))
}

fn registered(wake: &Wake) -> bool {
    wake.has("registered")
}

fn no_invite(wake: &Wake) -> bool {
    matches!(wake.outcome(), Outcome::NoInvite | Outcome::Open | Outcome::Killed)
}

fn ended(wake: &Wake, how: &str) -> bool {
    wake.says("call-ended", "how", how)
}

/// Whether the call of a silent push ended in one of these ways, by an earlier decision of the report.
fn earlier_end(wake: &Wake, report: &Report, how: &[&str]) -> bool {
    let same = |call| call == wake.call() && wake.call().is_some();
    let mut decisions = report.decisions.iter().filter(|noted| same(noted.call));
    decisions.any(|noted| {
        let word = noted.word("how").filter(|_| noted.name == "call-ended").or(noted.word("ended"));
        word.is_some_and(|word| how.contains(&word))
    })
}

fn obstacle(report: &Report, obstacle: Obstacle) -> bool {
    report.platform.as_ref().is_some_and(|platform| platform.obstacles.contains(&obstacle))
}

/// All causes; of those that fit the first is the most probable.
pub const CAUSES: &[Cause] = &[
    // The push made no sound.
    wake(
        "logged-out",
        Who::Server,
        "the push was for a user who has logged out, so it made no sound",
        "the server still pushes to a removed binding: sipwake doctor shows whether a log-out removes the binding",
        |wake, _| silent(wake, "logged-out"),
    ),
    wake(
        "user-not-disturbed",
        Who::Nobody,
        "the user turned on do not disturb in the app",
        "nothing: the phone rings again when do not disturb ends. If the server still pushes, it has not removed the binding",
        |wake, _| silent(wake, "do-not-disturb"),
    ),
    wake(
        "keys-unreadable",
        Who::Nobody,
        "the push was sealed, and the phone could not read its keys: it was not unlocked since it started, or the store failed",
        "nothing: the phone rings again after it is unlocked. On Android keep the store in device-protected storage",
        |wake, _| wake.says("push-unopened", "why", "keys-unreadable"),
    ),
    wake(
        "push-unopened",
        Who::Server,
        "the push was sealed, and no key of this phone opens it, or the same push came twice",
        "give the server this phone's current key: each installation of the app makes a new one",
        |wake, _| wake.has("push-unopened"),
    ),
    wake(
        "store-shut",
        Who::Nobody,
        "the phone was not unlocked since it started, so sipwake could not read its store",
        "nothing: the phone rings again after it is unlocked. On Android keep the store in device-protected storage",
        |wake, report| {
            let lately = |at: u64| at.abs_diff(wake.begins()) < 3_600_000;
            let shut = report.decisions.iter().any(|noted| noted.name == "store-shut" && lately(noted.at));
            shut && (silent(wake, "no-account") || wake.says("no-register", "why", "never-registered"))
        },
    ),
    wake(
        "no-account",
        Who::App,
        "the push came before the app had added its accounts",
        "add the accounts before you hand over a push (in Kotlin and Swift: pass them when you create the client)",
        |wake, _| silent(wake, "no-account"),
    ),
    wake(
        "late-push-of-a-cancelled-call",
        Who::PushProvider,
        "the push came after the caller had given up",
        "send pushes with high priority and a short time to live; let the server wait longer for the phone, or send a cancel push",
        |wake, report| silent(wake, "call-over") && earlier_end(wake, report, &["cancelled"]),
    ),
    wake(
        "answered-on-another-device",
        Who::Nobody,
        "another device of the user answered or declined the call",
        "nothing: this is normal for a user with several devices",
        |wake, report| {
            ended(wake, "answered-elsewhere")
                || ended(wake, "declined-elsewhere")
                || silent(wake, "call-over") && earlier_end(wake, report, &["answered-elsewhere", "declined-elsewhere"])
        },
    ),
    wake(
        "late-push-of-a-missed-call",
        Who::PushProvider,
        "the phone already waited for this call, and the INVITE never came",
        "the server sends more pushes for the same call: check how often and how long it does that",
        |wake, report| silent(wake, "call-over") && earlier_end(wake, report, &["missed", "unanswered"]),
    ),
    wake(
        "tombstone",
        Who::Nobody,
        "the push is for a call that has ended",
        "nothing, if somebody answered or declined the call. If nobody did, the server used a Call-ID twice: each call needs its own",
        |wake, _| silent(wake, "call-over") || wake.has("tombstone"),
    ),
    wake(
        "empty-payload",
        Who::Server,
        "the push was empty",
        "send a payload: docs/servers says what each product sends",
        |wake, _| silent(wake, "empty"),
    ),
    wake(
        "unreadable-payload",
        Who::Server,
        "the push's payload could not be read",
        "send JSON; sipwake payload FILE shows how sipwake reads it",
        |wake, _| silent(wake, "unreadable") || silent(wake, "too-large"),
    ),
    wake(
        "unknown-payload",
        Who::Server,
        "sipwake does not know the form of the push's payload",
        "send one of the known forms (docs/servers); sipwake payload FILE shows how sipwake reads it",
        |wake, _| silent(wake, "unknown-vendor"),
    ),
    wake(
        "not-sealed",
        Who::Server,
        "the app accepts only sealed pushes, and this one was not sealed or could not be opened",
        "give the server this phone's key, or check which key it seals with",
        |wake, _| silent(wake, "not-sealed"),
    ),
    wake(
        "too-many-calls",
        Who::Server,
        "pushes announced more calls at once than sipwake tracks",
        "find out who sends so many pushes",
        |wake, _| wake.has("push-full"),
    ),
    // The process.
    wake(
        "killed-before-register",
        Who::Phone,
        "the app's process ended after the push and before its REGISTER",
        "start a foreground service when the push's duty says so (Android), or report to CallKit at once (iOS). If the app does this, the maker's battery settings stop \
         the app: dontkillmyapp.com",
        |wake, _| wake.outcome() == Outcome::Killed && !wake.has("register-sent"),
    ),
    wake(
        "killed-while-waiting",
        Who::Phone,
        "the app's process ended while it waited for the INVITE",
        "keep the foreground service until the call has ended (Android); look for a crash of the app at this time",
        |wake, _| wake.outcome() == Outcome::Killed,
    ),
    // Nothing was sent.
    wake(
        "never-registered",
        Who::App,
        "the app never registered this account, so sipwake sent no REGISTER after the push",
        "call register at each start of the app",
        |wake, _| wake.says("no-register", "why", "never-registered"),
    ),
    wake(
        "wrong-credentials",
        Who::App,
        "the server refused the user name or password",
        "ask the user for the password again",
        |wake, report| {
            trouble(wake, &["wrong-credentials"])
                || wake.says("no-register", "why", "stopped")
                    && report.decisions.iter().any(|noted| noted.word("why") == Some("wrong-credentials"))
        },
    ),
    wake(
        "account-refused",
        Who::Server,
        "the server refuses this account (403, 404 or similar)",
        "check the account at the server: does it exist, may it register from this address, is it blocked?",
        |wake, _| trouble(wake, &["account-refused"]) || wake.counts("register-answered", "status", 403..=404),
    ),
    wake(
        "stopped",
        Who::App,
        "an earlier registration failed for good, and sipwake sends nothing until the app calls register",
        "show the failure to the user, and call register after it is fixed",
        |wake, _| wake.says("no-register", "why", "stopped"),
    ),
    // The way to the server.
    wake(
        "no-network",
        Who::Network,
        "the phone had no network",
        "nothing, if the phone had no coverage. If it had, check Data Saver and the app's permission to use mobile data",
        |wake, report| {
            let offline =
                report.platform.as_ref().is_some_and(|p| p.network == Some(sipwake_core::record::Network::None));
            offline && trouble(wake, &["dns", "unreachable"])
        },
    ),
    wake(
        "data-saver",
        Who::Phone,
        "Data Saver kept the app off the network",
        "exempt the app in Settings → Data Saver",
        |wake, report| obstacle(report, Obstacle::DataSaver) && trouble(wake, &["dns", "unreachable", "no-answer"]),
    ),
    wake(
        "dns",
        Who::Network,
        "the server's name could not be resolved",
        "check the server's DNS records from the phone's network; sipwake doctor shows what a phone's resolver would see",
        |wake, _| trouble(wake, &["dns"]),
    ),
    wake(
        "certificate-expired",
        Who::Server,
        "the server's certificate has expired",
        "renew it, and reload the server",
        |wake, _| trouble(wake, &["certificate-expired"]),
    ),
    wake(
        "clock-wrong",
        Who::Phone,
        "the server's certificate is not valid yet; usually the phone's clock is wrong",
        "set the phone's clock to network time",
        |wake, _| trouble(wake, &["certificate-not-yet-valid"]),
    ),
    wake(
        "certificate-name",
        Who::Server,
        "the server's certificate is for another name",
        "issue it with a subjectAltName of the name that the app connects to",
        |wake, _| trouble(wake, &["certificate-name", "certificate-common-name"]),
    ),
    wake(
        "certificate",
        Who::Server,
        "the server's certificate is not trusted",
        "send the whole chain, from an authority that phones trust; or pin the key in the app",
        |wake, _| {
            trouble(wake, &["certificate-issuer", "certificate-authority", "certificate-revoked", "certificate-pin"])
                || trouble(wake, &["certificate-platform", "certificate-broken", "client-certificate"])
        },
    ),
    wake(
        "tls",
        Who::Server,
        "TLS or the WebSocket handshake failed",
        "check the server's TLS versions, and the proxies between phone and server (sipwake doctor)",
        |wake, _| trouble(wake, &["tls", "websocket"]),
    ),
    wake(
        "closed-by-server",
        Who::Server,
        "the server closed the connection, or sent something that is not SIP",
        "check the server's log, and whether the port is right",
        |wake, _| trouble(wake, &["closed", "not-sip"]) && !registered(wake),
    ),
    wake(
        "unreachable",
        Who::Network,
        "the phone could not connect to the server",
        "check whether the server runs, and whether the phone's network lets its port through",
        |wake, _| trouble(wake, &["unreachable", "transport-not-built-in"]) && !registered(wake),
    ),
    wake(
        "network-changed",
        Who::Nobody,
        "the phone changed its network during the wake-up",
        "nothing: the phone registered from the new network, but too late for this call",
        |wake, _| wake.has("network-changed") && no_invite(wake),
    ),
    wake(
        "nonce-expired-and-silent",
        Who::Server,
        "the server did not respond to a REGISTER that used its own earlier nonce",
        "the server must respond 401 with a new nonce (stale=true); it must not stay silent",
        |wake, _| {
            wake.says("register-sent", "auth", "kept-nonce")
                && !wake.has("register-answered")
                && (wake.has("register-unanswered") || no_invite(wake))
        },
    ),
    wake(
        "no-answer",
        Who::Network,
        "the server did not respond to the REGISTER",
        "check the server, and firewalls that drop packets; if you use UDP, try TCP or TLS",
        |wake, _| {
            wake.has("register-unanswered")
                || trouble(wake, &["no-answer"])
                || wake.has("register-sent") && !wake.has("register-answered")
        },
    ),
    // What the server responded.
    wake(
        "challenge",
        Who::Server,
        "the phone could not respond to the server's challenge",
        "check the realm, algorithm and qop of the challenge (sipwake doctor)",
        |wake, _| {
            trouble(wake, &["unanswerable-challenge", "endless-challenges", "digest-too-weak", "digest-downgraded"])
                || trouble(wake, &["no-ha1", "no-server-proof", "circles"])
        },
    ),
    wake(
        "server-busy",
        Who::Server,
        "the server temporarily refused the registration (5xx or similar)",
        "check the server's load at this time",
        |wake, _| {
            !registered(wake)
                && wake.counts("register-answered", "status", 400..=699)
                && trouble(wake, &["refused-for-now"])
        },
    ),
    wake(
        "flood-of-pushes",
        Who::Server,
        "many pushes came at once, so this one's REGISTER had to wait",
        "send one push per call",
        |wake, _| wake.has("register-delayed"),
    ),
    // Registered, and no call.
    wake(
        "cancelled-meanwhile",
        Who::Nobody,
        "the caller gave up during the wake-up",
        "nothing; if it happens often, check how long push and REGISTER take (the counters of this report)",
        |wake, _| ended(wake, "cancelled"),
    ),
    wake(
        "logged-out-meanwhile",
        Who::Nobody,
        "the user logged out while the call was on its way",
        "nothing",
        |wake, _| ended(wake, "logged-out"),
    ),
    wake("refused-by-user", Who::Nobody, "the user declined the call before the INVITE came", "nothing", |wake, _| {
        ended(wake, "declined") || ended(wake, "hung-up")
    }),
    wake(
        "invite-refused",
        Who::Server,
        "the call came, and the phone had to refuse it",
        "the status says why: 420 an unknown extension was required, 482 the INVITE came twice, 486 too many calls, 488 unsupported media",
        |wake, _| wake.has("invite-refused"),
    ),
    wake(
        "other-way",
        Who::Server,
        "the INVITE did not come on the flow that registered, so sipwake dropped it",
        "let the server send calls on the flow of the registration (RFC 5626), from the address that accepted the REGISTER",
        |wake, _| no_invite(wake) && wake.says("dropped", "what", "past-the-registrar"),
    ),
    wake(
        "dropped",
        Who::Server,
        "sipwake dropped a message from the server because it could not be read",
        "check the INVITE that the server sends (sipwake register --trace)",
        |wake, _| no_invite(wake) && wake.says("dropped", "what", "malformed"),
    ),
    wake(
        "push-late",
        Who::PushProvider,
        "the push came long after it was sent",
        "send with high priority (FCM), or with priority 10 and apns-expiration 0 (APNs): a phone in Doze gets other pushes late",
        |wake, _| no_invite(wake) && wake.counts("push-delivered", "age", 15..=u32::MAX),
    ),
    wake(
        "downgraded",
        Who::PushProvider,
        "the push was sent with high priority and delivered with normal priority",
        "Android does this when high-priority messages show nothing to the user: send them only for calls, and show every call",
        |wake, report| {
            let restricted = report.platform.as_ref().is_some_and(|p| p.bucket == Some(StandbyBucket::Restricted));
            wake.says("push-delivered", "downgraded", "yes") || restricted && no_invite(wake) && !registered(wake)
        },
    ),
    wake(
        "push-for-another-account",
        Who::Server,
        "the push names a user who is not logged in on this phone",
        "the server still pushes the calls of an earlier user to this token: it must remove the old binding when another user registers with the token",
        |wake, _| no_invite(wake) && wake.has("push-for-nobody-known"),
    ),
    wake(
        "binding-lapsed",
        Who::App,
        "the binding had expired when the push came",
        "let the phone refresh its binding (Android: the refresh job), or let the server push before the binding expires (RFC 8599 section 4.1)",
        |wake, _| no_invite(wake) && wake.has("binding-lapsed"),
    ),
    wake(
        "slow-register",
        Who::Server,
        "the REGISTER took so long that the caller gave up",
        "check what the server waits for; with the stored nonce, one round trip should be enough",
        |wake, _| no_invite(wake) && wake.counts("register-answered", "took", 10_000..=u32::MAX),
    ),
    wake(
        "invite-never-came",
        Who::Server,
        "the phone registered in time, but the server never sent the INVITE",
        "let the server hold the call until the phone has registered, and then send it to the new binding (Kamailio: tsilo; docs/servers)",
        |wake, _| registered(wake) && wake.outcome() == Outcome::NoInvite,
    ),
    wake(
        "unfinished",
        Who::Network,
        "the phone did not reach the server in time",
        "check the steps of this wake",
        |wake, _| wake.outcome() == Outcome::NoInvite,
    ),
    // Without regard to a wake.
    phone(
        "do-not-disturb",
        Who::Phone,
        "Do Not Disturb or a Focus silences calls",
        "allow calls of this app in the phone's Do Not Disturb or Focus settings",
        |report, _| obstacle(report, Obstacle::DoNotDisturb),
    ),
    phone(
        "notifications-off",
        Who::Phone,
        "this app's notifications are off, or their channel is silent",
        "turn them on in Settings → Notifications",
        |report, _| {
            [Obstacle::NotificationsOff, Obstacle::ChannelOff, Obstacle::NotificationsSilent]
                .into_iter()
                .any(|known| obstacle(report, known))
        },
    ),
    phone(
        "caller-blocked",
        Who::Phone,
        "the phone did not show a call because its caller is on the block list",
        "check the blocked contacts in the phone's settings",
        |report, _| obstacle(report, Obstacle::CallerBlocked),
    ),
    phone(
        "no-full-screen",
        Who::Phone,
        "an incoming call shows only as a small notification",
        "allow full-screen notifications for the app (Android 14 and later)",
        |report, _| obstacle(report, Obstacle::NoFullScreen),
    ),
    phone(
        "no-play-services",
        Who::Phone,
        "Google Play services are missing, disabled or too old, so no push arrives",
        "install, enable or update them, or use another push provider",
        |report, _| obstacle(report, Obstacle::NoPlayServices) || obstacle(report, Obstacle::OldPlayServices),
    ),
    phone(
        "battery-settings",
        Who::Phone,
        "the phone's battery settings keep the app from running",
        "set the app's battery use to unrestricted; dontkillmyapp.com has instructions for each maker",
        |report, _| {
            [Obstacle::BackgroundRestricted, Obstacle::RarelyUsed, Obstacle::MakerStopsApps, Obstacle::Hibernation]
                .into_iter()
                .any(|known| obstacle(report, known))
        },
    ),
    phone(
        "background-off",
        Who::Phone,
        "the app may not run in the background, so log-outs and refreshes wait until the user opens it",
        "turn on Background App Refresh for the app, and turn off Low Power Mode",
        |report, _| obstacle(report, Obstacle::BackgroundRefreshOff) || obstacle(report, Obstacle::LowPower),
    ),
    phone(
        "pushes-lowered",
        Who::PushProvider,
        "the last push that was sent with high priority was delivered with normal priority",
        "Android does this when high-priority messages show nothing to the user: send them only for calls, and show every call",
        |report, _| obstacle(report, Obstacle::Deprioritised),
    ),
    phone(
        "not-entitled",
        Who::App,
        "the app may not receive pushes or show calls: an entitlement or background mode is missing",
        "add Push Notifications and the background mode Voice over IP in Xcode, and sign with a profile that contains both",
        |report, _| obstacle(report, Obstacle::NotEntitled) || obstacle(report, Obstacle::NoPushEntitlement),
    ),
    phone(
        "wrong-push-environment",
        Who::App,
        "the server is told another APNs environment than the one that the app's tokens belong to",
        "leave the environment out of the push settings, or use Environment.ofThisApp()",
        |report, _| obstacle(report, Obstacle::WrongPushEnvironment),
    ),
    phone(
        "no-token",
        Who::App,
        "an account has no push token, so no server can wake the phone",
        "call set_token each time the provider gives a token",
        |report, _| report.accounts.iter().any(|account| !account.token),
    ),
    phone("no-account-at-all", Who::App, "nobody is logged in", "log in", |report, wakes| {
        report.accounts.is_empty() && wakes.is_empty()
    }),
    phone(
        "push-refused",
        Who::Server,
        "the server refuses to push to this phone",
        "configure the app's push provider at the server; sipwake doctor shows what the server refuses",
        |report, _| {
            let last = report.decisions.iter().rev().find(|noted| noted.name == "registered");
            last.is_some_and(|noted| noted.word("push") == Some("refused"))
        },
    ),
    phone(
        "not-registered",
        Who::App,
        "an account is not registered",
        "the last decisions say why; call register at each start of the app",
        |report, _| report.accounts.iter().any(|account| account.stopped),
    ),
    phone(
        "no-push-came",
        Who::Server,
        "the phone is registered with a token, but no push came",
        "check whether the server pushes to this binding at all (sipwake doctor --call), and whether it has the provider's key and the right app id",
        |report, wakes| {
            wakes.is_empty() && !report.accounts.is_empty() && report.accounts.iter().all(|account| account.token)
        },
    ),
];
