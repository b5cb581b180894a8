//! The push settings that several commands take.

use clap::{Args, ValueEnum};
use sipwake::{Dialect, Dialects, Environment, PortSipHeader, Provider, Push, PushConfig, PushToken, Removal};

use crate::say;

/// The mock gateway takes this package like any other.
const EXAMPLE: &str = "com.example.app";

/// The push provider, and how the server learns of it.
#[derive(Args, Clone)]
pub(crate) struct PushSettings {
    /// The push provider: apns, fcm, fcm-ios, webpush, or another name that the server knows
    #[arg(long, default_value = "fcm")]
    provider: String,
    /// The Apple bundle id, or the server's name for the Android app: for FCM, the project
    #[arg(long)]
    package: Option<String>,
    /// Apple's team id, for pn-param
    #[arg(long)]
    team: Option<String>,
    /// The whole pn-param, if the server wants another one than the default
    #[arg(long)]
    pn_param: Option<String>,
    /// The token's APNs environment: the server's default, sandbox or production
    #[arg(long, value_enum, default_value = "default")]
    environment: Env,
    /// The dialects, comma-separated. The value auto uses RFC 8599 and X-MPUSH, then what the server understands
    #[arg(long, value_enum, value_delimiter = ',', default_value = "auto")]
    dialect: Vec<DialectName>,
    /// How to remove an RFC 8599 binding
    #[arg(long, value_enum, default_value = "same-binding")]
    removal: RemovalName,
    /// The app can refresh without a push, so the REGISTER has +sip.pnsreg
    #[arg(long)]
    wakes_itself: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Env {
    Default,
    Sandbox,
    Production,
}

#[derive(Clone, Copy, ValueEnum)]
enum RemovalName {
    /// The exact Contact that was bound
    SameBinding,
    /// Without pn-prid, as in RFC 8599 section 4.1.2
    WithoutPrid,
    /// pn-prid=null, for Mizutech
    NullPrid,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DialectName {
    Auto,
    None,
    Xmpush,
    Rfc8599,
    Linphone,
    Portsip,
    PortsipPbx12,
    PortsipOld,
    Abto,
    AppIdUri,
    AppIdHeader,
}

impl PushSettings {
    pub(crate) fn provider(&self) -> Provider {
        match self.provider.as_str() {
            "apns" => Provider::Apns,
            "fcm" => Provider::Fcm,
            "fcm-ios" => Provider::FcmOnIos,
            "webpush" => Provider::WebPush,
            other => Provider::Other(other.to_owned()),
        }
    }

    pub(crate) fn config(&self) -> PushConfig {
        let mut config = PushConfig::new(self.provider(), self.package.as_deref().unwrap_or(EXAMPLE));
        config.team_id.clone_from(&self.team);
        config.pn_param.clone_from(&self.pn_param);
        config.wakes_itself = self.wakes_itself;
        config.environment = match self.environment {
            Env::Default => Environment::ServerDefault,
            Env::Sandbox => Environment::Sandbox,
            Env::Production => Environment::Production,
        };
        config.removal = match self.removal {
            RemovalName::SameBinding => Removal::SameBinding,
            RemovalName::WithoutPrid => Removal::WithoutPrid,
            RemovalName::NullPrid => Removal::NullPrid,
        };
        if !self.dialect.contains(&DialectName::Auto) {
            config.dialects = Dialects::Only(self.dialect.iter().filter_map(|name| name.dialect()).collect());
        }
        config
    }

    pub(crate) fn parse(&self) -> Result<Push, String> {
        Push::parse(self.config()).map_err(|error| say::refused(&error))
    }

    pub(crate) fn speaks_only_xmpush(&self) -> bool {
        self.dialect.iter().all(|name| *name == DialectName::Xmpush)
    }

    /// Tells the user if the server got a package that nobody named.
    pub(crate) fn tell_assumed_package(&self) {
        if self.package.is_none() {
            crate::note(&format!("--package was not given, so {EXAMPLE} is used; a real server does not push to it"));
        }
    }
}

/// Reads a token from the option `flag`. Refuses an empty shell variable, and words such as `null`, because another
/// option ends push.
pub(crate) fn token(
    push: &Push,
    flag: &str,
    token: Option<&str>,
    alert: Option<&str>,
) -> Result<Option<PushToken>, String> {
    for (flag, text) in [(flag, token), ("--alert-token", alert)] {
        let Some(text) = text else { continue };
        let parsed = push.parse_token(Some(text), None).map_err(|error| format!("{flag}: {}", error.rule))?;
        if parsed.is_none() {
            return Err(format!("{flag}: must be a token; {text:?} means that there is no token"));
        }
    }
    push.parse_token(token, alert).map_err(|error| say::refused(&error))
}

impl DialectName {
    fn dialect(self) -> Option<Dialect> {
        Some(match self {
            Self::Auto | Self::None => return None,
            Self::Xmpush => Dialect::XMpush,
            Self::Rfc8599 => Dialect::Rfc8599,
            Self::Linphone => Dialect::Linphone,
            Self::Portsip => Dialect::PortSip(PortSipHeader::XPush),
            Self::PortsipPbx12 => Dialect::PortSip(PortSipHeader::XPPush),
            Self::PortsipOld => Dialect::PortSip(PortSipHeader::PortsipPush),
            Self::Abto => Dialect::Abto,
            Self::AppIdUri => Dialect::AppIdInUri,
            Self::AppIdHeader => Dialect::AppIdInHeader,
        })
    }
}
