//! How to tell a server where to push: one file per dialect. Each writes its tags and reads the response, if there is
//! one.

mod legacy;
mod linphone;
mod mode;
mod mpush;
mod portsip;
mod rfc8599;
mod tags;
mod token;
mod verdict;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::account::MAX_FIELD;
use crate::error::{FieldError, Rule, check_text};
use crate::sip::{FeatureCaps, is_token, split_list};

pub use mode::{MIZUTECH_GATEWAY, MIZUTECH_PACKAGE, Mode};
pub use mpush::piid;
pub(crate) use mpush::write_upper;
pub use portsip::PortSipHeader;
pub(crate) use rfc8599::providers;
pub use tags::{Tag, Tags};
pub use token::{MAX_TOKEN, PushToken};
pub use verdict::{Asked, Reason, Standing, Verdict};

/// Who delivers the push.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Provider {
    /// Apple's push service; PushKit for calls.
    Apns,
    /// Firebase Cloud Messaging on Android.
    Fcm,
    /// Firebase Cloud Messaging on iOS.
    FcmOnIos,
    /// Web push (RFC 8030).
    WebPush,
    /// Any other provider, by its name in `pn-provider`.
    Other(String),
}

/// Which of APNs' two environments a token belongs to. A sandbox token fails in production, and the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Environment {
    /// The server's own setting decides.
    #[default]
    ServerDefault,
    /// Apps run from Xcode.
    Sandbox,
    /// TestFlight and the App Store.
    Production,
}

/// A way to tell the server where to push. Several may be active together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dialect {
    /// Mizutech's `X-MPUSH` and `X-PIID` headers.
    XMpush,
    /// RFC 8599's `pn-*` Contact URI parameters.
    Rfc8599,
    /// Linphone's double-token form of RFC 8599.
    Linphone,
    /// PortSIP's `X-Push` header.
    PortSip(PortSipHeader),
    /// ABTO's `push-token-*` Contact header parameters.
    Abto,
    /// `app-id;pn-type;pn-tok` as Contact URI parameters (Flexisip before RFC 8599).
    AppIdInUri,
    /// `app-id;pn-type;pn-tok` as Contact header parameters (Kazoo).
    AppIdInHeader,
}

/// The dialects of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialects {
    /// RFC 8599 and `X-MPUSH` together, then the one that the server understands.
    #[default]
    Auto,
    /// Exactly these; none at all registers without push.
    Only(Vec<Dialect>),
}

/// How a binding is removed with RFC 8599, where servers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Removal {
    /// The exact Contact that was bound, with `Expires: 0`. Every registrar finds it, and OpenSIPS finds nothing else.
    #[default]
    SameBinding,
    /// As in RFC 8599 section 4.1.2: without `pn-prid`.
    WithoutPrid,
    /// Mizutech: `pn-prid=null`.
    NullPrid,
}

/// The push settings of an app, unchecked. [`Push::parse`] checks them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushConfig {
    /// The dialects to use.
    pub dialects: Dialects,
    /// Who delivers.
    pub provider: Provider,
    /// The Apple bundle id, or what the server knows the Android app by (project id, project number or package name).
    pub package: String,
    /// Sandbox or production.
    pub environment: Environment,
    /// Apple's team id; with it `pn-param` is `TEAM.BUNDLE.voip` (RFC 8599 section 14.5), without it the bare bundle id.
    pub team_id: Option<String>,
    /// The whole `pn-param`, if the server wants another one than the fields above give.
    pub pn_param: Option<String>,
    /// The app can wake itself to refresh its binding: sends `+sip.pnsreg` (RFC 8599 section 4.1.4).
    pub wakes_itself: bool,
    /// How RFC 8599 bindings are removed.
    pub removal: Removal,
    /// PortSIP: push calls.
    pub push_calls: bool,
    /// PortSIP: push messages.
    pub push_messages: bool,
    /// Linphone: further Contact URI parameters, such as `pn-silent`, `pn-timeout`, `pn-call-str`.
    pub linphone_params: Vec<(String, String)>,
}

impl PushConfig {
    /// Returns a configuration that lets the server's response choose the dialect.
    pub fn new(provider: Provider, package: impl Into<String>) -> Self {
        Self {
            dialects: Dialects::Auto,
            provider,
            package: package.into(),
            environment: Environment::ServerDefault,
            team_id: None,
            pn_param: None,
            wakes_itself: false,
            removal: Removal::SameBinding,
            push_calls: true,
            push_messages: true,
            linphone_params: Vec::new(),
        }
    }
}

/// Checked push settings: everything that they write into a message fits its grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    dialects: Dialects,
    provider: Provider,
    package: Box<str>,
    environment: Environment,
    wakes_itself: bool,
    removal: Removal,
    push_calls: bool,
    push_messages: bool,
    extras: Option<Box<Extras>>,
}

/// Settings that only a few apps have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Extras {
    team_id: Option<String>,
    pn_param: Option<String>,
    linphone_params: Vec<(String, String)>,
}

/// What a REGISTER says about the push binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding<'a> {
    /// There is no token yet: the REGISTER says nothing about push, and never `null`.
    NoneYet,
    /// Push to this token.
    Token(&'a PushToken),
    /// Do not push any longer, but stay registered.
    Unbound,
    /// Do not push any longer, and forget the Contact that was bound with this token.
    LoggedOut(Option<&'a PushToken>),
    /// RFC 8599 section 4.1.5: is this provider supported, or, with `None`, which are?
    Query(Option<&'a str>),
}

/// What the server supports, with [`Dialects::Auto`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Shown {
    /// Nothing is known: both dialects are used.
    #[default]
    Nothing,
    /// `Feature-Caps` confirmed our provider: RFC 8599 is enough.
    Rfc8599,
    /// It answered 555: `pn-*` is left out.
    NoRfc8599,
}

impl Push {
    /// Checks what the app states.
    ///
    /// # Errors
    /// A [`FieldError`] that names the field (`push.package`, `push.dialects`, …) and the rule it broke.
    pub fn parse(mut config: PushConfig) -> Result<Self, FieldError> {
        check_text("push.package", &config.package, MAX_FIELD)?;
        if config
            .package
            .chars()
            .any(|c| c.is_whitespace() || matches!(c, ':' | ';' | ',' | '=' | '|' | '"' | '<' | '>'))
        {
            return Err(FieldError::malformed(
                "push.package",
                "a bundle id, project id or package name, without `: ; , = |` or spaces",
            ));
        }
        if let Some(team) = &config.team_id {
            check_text("push.team_id", team, MAX_FIELD)?;
            let team = team.trim_end_matches('.');
            if team.is_empty() || !team.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(FieldError::malformed("push.team_id", "letters and digits, such as ABCDE12345"));
            }
        }
        if let Some(param) = &config.pn_param {
            check_text("push.pn_param", param, MAX_FIELD)?;
            if config.provider == Provider::WebPush {
                return Err(FieldError::new(
                    "push.pn_param",
                    Rule::Conflict { conflict: "must be absent for webpush (RFC 8599 section 14.8)" },
                ));
            }
        }
        if let Provider::Other(name) = &config.provider {
            check_text("push.provider", name, MAX_FIELD)?;
            if !is_token(name) {
                return Err(FieldError::malformed("push.provider", "a token (RFC 3261 section 25.1)"));
            }
        }
        for (index, (name, value)) in config.linphone_params.iter().enumerate() {
            check_text("push.linphone_params", value, MAX_FIELD)?;
            let ours = ["pn-provider", "pn-param", "pn-prid"].into_iter();
            let mut taken = ours.chain(config.linphone_params[..index].iter().map(|(name, _)| name.as_str()));
            if !is_token(name) || name.len() > MAX_FIELD || taken.any(|taken| taken.eq_ignore_ascii_case(name)) {
                return Err(FieldError::malformed(
                    "push.linphone_params",
                    "parameter names that are tokens, each once, other than pn-provider, pn-param and pn-prid",
                ));
            }
        }
        if config.linphone_params.len() > 16 {
            return Err(FieldError::malformed("push.linphone_params", "at most 16 parameters"));
        }
        if let Dialects::Only(dialects) = &mut config.dialects {
            let mut seen: Vec<Dialect> = Vec::new();
            dialects.retain(|dialect| {
                !seen.contains(dialect) && {
                    seen.push(*dialect);
                    true
                }
            });
            if dialects.contains(&Dialect::Rfc8599) && dialects.contains(&Dialect::Linphone) {
                return Err(FieldError::new(
                    "push.dialects",
                    Rule::Conflict { conflict: "Rfc8599 and Linphone write the same parameters: choose one" },
                ));
            }
            let mpush = dialects.contains(&Dialect::XMpush) && mpush::letter(&config.provider).is_none();
            if mpush {
                return Err(FieldError::new(
                    "push.dialects",
                    Rule::Conflict { conflict: "X-MPUSH knows only APNs, FCM and web push" },
                ));
            }
        }
        let PushConfig { team_id, pn_param, linphone_params, .. } = config;
        let extras = Extras { team_id, pn_param, linphone_params };
        Ok(Self {
            dialects: config.dialects,
            provider: config.provider,
            package: config.package.into(),
            environment: config.environment,
            wakes_itself: config.wakes_itself,
            removal: config.removal,
            push_calls: config.push_calls,
            push_messages: config.push_messages,
            extras: (extras != Extras::default()).then(|| Box::new(extras)),
        })
    }

    /// Returns a configuration that these settings could be parsed from.
    pub fn config(&self) -> PushConfig {
        let Extras { team_id, pn_param, linphone_params } = self.extras.as_deref().cloned().unwrap_or_default();
        PushConfig {
            dialects: self.dialects.clone(),
            provider: self.provider.clone(),
            package: self.package.as_ref().to_owned(),
            environment: self.environment,
            team_id,
            pn_param,
            wakes_itself: self.wakes_itself,
            removal: self.removal,
            push_calls: self.push_calls,
            push_messages: self.push_messages,
            linphone_params,
        }
    }

    /// Whether the server's response chooses the dialect.
    pub(crate) fn is_auto(&self) -> bool {
        self.dialects == Dialects::Auto
    }

    /// Whether the app itself asks for Mizutech's dialect.
    pub(crate) fn names_mpush(&self) -> bool {
        matches!(&self.dialects, Dialects::Only(spoken) if spoken.contains(&Dialect::XMpush))
    }

    /// Returns the provider.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Parses the tokens that the provider gave: [`PushToken::parse_pair`], and a token that the dialects cannot carry is
    /// refused.
    ///
    /// # Errors
    /// A [`FieldError`] for `push.token` or `push.alert_token`.
    pub fn parse_token(&self, call: Option<&str>, alert: Option<&str>) -> Result<Option<PushToken>, FieldError> {
        let portsip =
            matches!(&self.dialects, Dialects::Only(spoken) if spoken.iter().any(|d| matches!(d, Dialect::PortSip(_))));
        for (field, token) in [("push.token", call), ("push.alert_token", alert)] {
            if portsip && token.is_some_and(|token| token.contains([';', '|'])) {
                // The token would end there, and a field of its own would begin. The header has no escape.
                return Err(FieldError::malformed(field, "a token without `;` and `|`, as PortSIP's header is spoken"));
            }
            if token.is_some_and(|token| token.trim() == self.package()) {
                return Err(FieldError::malformed(field, "the provider's token, not the app's package name"));
            }
        }
        PushToken::parse_pair(&self.provider, call, alert)
    }

    fn package(&self) -> &str {
        &self.package
    }

    fn environment(&self) -> Environment {
        self.environment
    }

    fn wakes_itself(&self) -> bool {
        self.wakes_itself
    }

    pub(crate) fn removal(&self) -> Removal {
        self.removal
    }

    /// From here on a removal says `pn-prid=null`, which Mizutech's servers need.
    pub(crate) fn remove_by_null(&mut self) {
        self.removal = Removal::NullPrid;
    }

    /// `TEAM.bundle.SERVICES`. An `AppIdentifierPrefix` from iOS already ends with a dot.
    fn app_with_service(&self, services: &str) -> String {
        match self.team_id() {
            Some(team) => [team.trim_end_matches('.'), ".", self.package(), ".", services].concat(),
            None => [self.package(), ".", services].concat(),
        }
    }

    fn team_id(&self) -> Option<&str> {
        self.extras.as_deref()?.team_id.as_deref()
    }

    fn pn_param(&self) -> Option<Cow<'_, str>> {
        let stated = self.extras.as_deref().and_then(|extras| extras.pn_param.as_deref());
        match (stated, &self.provider) {
            (_, Provider::WebPush) => None,
            (Some(param), _) => Some(param.into()),
            (None, Provider::Apns) if self.team_id().is_some() => Some(self.app_with_service("voip").into()),
            (None, _) => Some(self.package().into()),
        }
    }

    fn linphone_params(&self) -> &[(String, String)] {
        self.extras.as_deref().map(|extras| extras.linphone_params.as_slice()).unwrap_or_default()
    }

    /// Returns the dialects for a server with these known properties.
    pub(crate) fn spoken(&self, shown: Shown) -> Vec<Dialect> {
        match (&self.dialects, shown) {
            // `pn-*` cannot name the environment, and cannot tell FCM on iOS from FCM on Android.
            (Dialects::Auto, Shown::Rfc8599) if self.says_more_in_mpush() => vec![Dialect::Rfc8599, Dialect::XMpush],
            (Dialects::Auto, Shown::Rfc8599) => vec![Dialect::Rfc8599],
            (Dialects::Auto, Shown::NoRfc8599) => vec![Dialect::XMpush],
            (Dialects::Auto, Shown::Nothing) => vec![Dialect::Rfc8599, Dialect::XMpush],
            (Dialects::Only(dialects), Shown::NoRfc8599) => dialects
                .iter()
                .copied()
                .filter(|dialect| !matches!(dialect, Dialect::Rfc8599 | Dialect::Linphone))
                .collect(),
            (Dialects::Only(dialects), _) => dialects.clone(),
        }
    }

    /// Whether one of these dialects could make a server push that refuses RFC 8599. `Auto` always uses `X-MPUSH`,
    /// which says nothing about the server: unless it has shown that it is one of Mizutech's, it does not push.
    pub(crate) fn could_push(&self, spoken: &[Dialect], mizutech: bool) -> bool {
        let could = |dialect: &Dialect| match dialect {
            Dialect::Rfc8599 | Dialect::Linphone => false,
            Dialect::XMpush => mpush::letter(&self.provider).is_some() && (mizutech || !self.is_auto()),
            _ => true,
        };
        spoken.iter().any(could)
    }

    fn says_more_in_mpush(&self) -> bool {
        self.environment != Environment::ServerDefault || self.provider == Provider::FcmOnIos
    }

    /// Returns the dialects that remove a binding. They include those that the server does not need: a server that
    /// supports both may keep a push binding that only one of them removes (Mizutech after `Expires: 0`).
    pub(crate) fn spoken_to_remove(&self, shown: Shown) -> Vec<Dialect> {
        self.spoken(if shown == Shown::Rfc8599 { Shown::Nothing } else { shown })
    }

    /// Returns the dialects that take back what was said in `spoken`. Mizutech's servers continue to push until they
    /// get `X-MPUSH: null`, whatever the other dialects say. Only PortSIP's and Flexisip's dialects show that the
    /// server is another one.
    pub(crate) fn with_null(mut spoken: Vec<Dialect>) -> Vec<Dialect> {
        let other = |dialect: &Dialect| matches!(dialect, Dialect::PortSip(_) | Dialect::Linphone | Dialect::XMpush);
        if !spoken.is_empty() && !spoken.iter().any(other) {
            spoken.push(Dialect::XMpush);
        }
        spoken
    }

    /// Whether a REGISTER with these settings replaces all that was said in `spoken` with `other`.
    pub(crate) fn covers(&self, other: &Self, spoken: &[Dialect]) -> bool {
        let mine = self.spoken(Shown::Nothing);
        spoken.iter().all(|dialect| mine.contains(dialect))
            && self.provider == other.provider
            && self.package == other.package
            && self.environment == other.environment
            && self.pn_param() == other.pn_param()
    }

    /// Returns what every dialect of `spoken` adds to a REGISTER for this binding.
    ///
    /// `last` is the token that was bound. Some servers need it to unbind.
    pub(crate) fn write(&self, spoken: &[Dialect], binding: Binding<'_>, last: Option<&PushToken>) -> Tags {
        if binding == Binding::NoneYet {
            return Tags::default();
        }
        let mut tags = Tags::with_capacity(spoken.len());
        for dialect in spoken {
            match dialect {
                Dialect::XMpush => mpush::write(self, binding, &mut tags),
                Dialect::Rfc8599 => rfc8599::write(self, binding, &mut tags),
                Dialect::Linphone => linphone::write(self, binding, &mut tags),
                Dialect::PortSip(header) => portsip::write(*header, self, binding, last, &mut tags),
                Dialect::Abto => legacy::write_abto(self, binding, &mut tags),
                Dialect::AppIdInUri => legacy::write_app_id(true, self, binding, &mut tags),
                Dialect::AppIdInHeader => legacy::write_app_id(false, self, binding, &mut tags),
            }
        }
        tags
    }

    /// Returns the provider's name for `pn-provider` in these dialects.
    pub(crate) fn pn_provider(&self, spoken: &[Dialect]) -> Option<&str> {
        if spoken.contains(&Dialect::Linphone) {
            let sandbox = self.provider == Provider::Apns && self.environment() == Environment::Sandbox;
            return Some(if sandbox { "apns.dev" } else { rfc8599::provider_name(&self.provider) });
        }
        spoken.contains(&Dialect::Rfc8599).then(|| rfc8599::provider_name(&self.provider))
    }

    /// Returns the tags for another SIP stack, which builds and sends the REGISTER itself.
    ///
    /// It writes all dialects of the configuration, and with [`Dialects::Auto`] both of these.
    ///
    /// ```
    /// use sipwake_core::push::{Binding, Provider, Push, PushConfig};
    ///
    /// let push = Push::parse(PushConfig::new(Provider::Fcm, "my-project"))?;
    /// let token = push.parse_token(Some("c-10:APA91b"), None)?.expect("a real token");
    /// let tags = push.tags(Binding::Token(&token));
    /// assert_eq!(tags.uri_params_text(), ";pn-provider=fcm;pn-param=my-project;pn-prid=c-10:APA91b");
    /// assert_eq!(tags.headers[0].value.as_deref(), Some("a:my-project:c-10:APA91b"));
    /// # Ok::<(), sipwake_core::error::FieldError>(())
    /// ```
    pub fn tags(&self, binding: Binding<'_>) -> Tags {
        let spoken = self.spoken(Shown::Nothing);
        let removes = matches!(binding, Binding::Unbound | Binding::LoggedOut(_));
        self.write(&if removes { Self::with_null(spoken) } else { spoken }, binding, None)
    }

    /// Reads what a server's response to a REGISTER with these tags says about push.
    ///
    /// `headers` are the response's header fields in order, names in any case.
    pub fn verdict<'a>(&self, status: u16, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Verdict {
        let caps: Vec<FeatureCaps> = headers
            .into_iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("feature-caps"))
            .flat_map(|(_, value)| split_list(value))
            .map(FeatureCaps::parse)
            .collect();
        let spoken = self.spoken(Shown::Nothing);
        Verdict::read(self, &spoken, (Shown::Nothing, false), Asked::Push, status, &caps)
    }
}
