//! The push settings that several commands take.

use clap::{Args, ValueEnum};
use sipwake::{Dialect, Dialects, Environment, PortSipHeader, Provider, PushConfig, Removal};

/// Who delivers the push, and how the server is told.
#[derive(Args, Clone)]
pub(crate) struct PushSettings {
    /// Who delivers: apns, fcm, fcm-ios, webpush, or any other name that the server knows
    #[arg(long, default_value = "fcm")]
    provider: String,
    /// The Apple bundle id, or what the server knows the Android app by
    #[arg(long, default_value = "com.example.app")]
    package: String,
    /// Apple's team id, for pn-param
    #[arg(long)]
    team: Option<String>,
    /// The whole pn-param, where the server wants another than the default
    #[arg(long)]
    pn_param: Option<String>,
    /// Whose tokens: the server's default, the sandbox's or production's
    #[arg(long, value_enum, default_value = "default")]
    environment: Env,
    /// The dialects to speak, comma-separated; auto speaks RFC 8599 and X-MPUSH, then what the server understands
    #[arg(long, value_enum, value_delimiter = ',', default_value = "auto")]
    dialect: Vec<DialectName>,
    /// How an RFC 8599 binding is removed
    #[arg(long, value_enum, default_value = "same-binding")]
    removal: RemovalName,
    /// The app can wake itself to refresh: send +sip.pnsreg
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
    /// The very Contact that was bound
    SameBinding,
    /// Without pn-prid, as RFC 8599 section 4.1.2 says
    WithoutPrid,
    /// pn-prid=null, as Mizutech says
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
        let mut config = PushConfig::new(self.provider(), &self.package);
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
