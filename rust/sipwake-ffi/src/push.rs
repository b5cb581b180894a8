//! Push settings as apps state them.

use sipwake::PortSipHeader;
use sipwake::core::push::Mode;

/// Who delivers the push.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Provider {
    /// Apple's push service, or PushKit for calls.
    Apns,
    /// Firebase Cloud Messaging on Android.
    Fcm,
    /// Firebase Cloud Messaging on iOS.
    FcmOnIos,
    /// Web push (RFC 8030).
    WebPush,
    /// Any other provider, by its name in `pn-provider`.
    Other {
        /// A token of RFC 3261.
        name: String,
    },
}

/// Which of APNs' two environments a token belongs to. A sandbox token fails in production, and the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Environment {
    /// The server's own setting decides.
    ServerDefault,
    /// Apps run from Xcode.
    Sandbox,
    /// TestFlight and the App Store.
    Production,
}

/// A way to tell the server where to push. Several can be used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Dialect {
    /// Mizutech's `X-MPUSH` and `X-PIID` headers.
    XMpush,
    /// RFC 8599's `pn-*` Contact URI parameters.
    Rfc8599,
    /// Linphone's double-token form of RFC 8599.
    Linphone,
    /// PortSIP's `X-Push` header.
    PortSip,
    /// PortSIP PBX 12, whose header is called `x-p-push`.
    PortSipPbx12,
    /// Older PortSIP, whose header is called `portsip-push`.
    PortSipOld,
    /// ABTO's `push-token-*` Contact header parameters.
    Abto,
    /// `app-id;pn-type;pn-tok` as Contact URI parameters (Flexisip before RFC 8599).
    AppIdInUri,
    /// `app-id;pn-type;pn-tok` as Contact header parameters (Kazoo).
    AppIdInHeader,
}

/// How RFC 8599 removes a binding. Servers differ here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Removal {
    /// The exact Contact that was bound, with `Expires: 0`. Every registrar finds it, and OpenSIPS finds nothing else.
    SameBinding,
    /// As in RFC 8599 section 4.1.2: without `pn-prid`.
    WithoutPrid,
    /// Mizutech: `pn-prid=null`.
    NullPrid,
}

/// How push is reached, by the names that Mizutech's SDK gives its modes.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum PushMode {
    /// -1 and 1: try the modes that the server understands.
    Auto,
    /// 0: no push.
    Disabled,
    /// 2: the SIP server itself understands `X-MPUSH`.
    Direct,
    /// 3: through a push gateway.
    Gateway {
        /// `host:port` or a URI.
        address: String,
    },
    /// 3, with the gateway that Mizutech runs.
    MizutechGateway,
}

/// A name with its value.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct NamedValue {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// The push settings of an app. It is checked when the client gets it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct PushConfig {
    /// Who delivers.
    pub provider: Provider,
    /// The Apple bundle id, or the server's name for the Android app (project id, project number or package name).
    pub package: String,
    /// The dialects to speak. If it is not set, RFC 8599 and `X-MPUSH` together, then whichever the server understands.
    #[uniffi(default = None)]
    pub dialects: Option<Vec<Dialect>>,
    /// Sandbox or production. If it is not set, the server uses its own setting.
    #[uniffi(default = None)]
    pub environment: Option<Environment>,
    /// Apple's team id. With it, `pn-param` is `TEAM.BUNDLE.voip` (RFC 8599 section 14.5). Without it, `pn-param` is
    /// the bare bundle id.
    #[uniffi(default = None)]
    pub team_id: Option<String>,
    /// The whole `pn-param`, if the server wants another one than these fields give.
    #[uniffi(default = None)]
    pub pn_param: Option<String>,
    /// The app can wake itself to refresh its binding. Sends `+sip.pnsreg` (RFC 8599 section 4.1.4).
    #[uniffi(default = false)]
    pub wakes_itself: bool,
    /// How to remove an RFC 8599 binding. If it is not set, the exact Contact that was bound is used.
    #[uniffi(default = None)]
    pub removal: Option<Removal>,
    /// PortSIP: push calls.
    #[uniffi(default = true)]
    pub push_calls: bool,
    /// PortSIP: push messages.
    #[uniffi(default = true)]
    pub push_messages: bool,
    /// Linphone: further Contact URI parameters, such as `pn-silent`, `pn-timeout`, `pn-call-str`.
    #[uniffi(default)]
    pub linphone_params: Vec<NamedValue>,
}

#[cfg(test)]
impl PushConfig {
    pub(crate) fn plain(provider: Provider, package: &str) -> Self {
        Self {
            provider,
            package: package.to_owned(),
            dialects: None,
            environment: None,
            team_id: None,
            pn_param: None,
            wakes_itself: false,
            removal: None,
            push_calls: true,
            push_messages: true,
            linphone_params: Vec::new(),
        }
    }
}

impl From<PushConfig> for sipwake::PushConfig {
    fn from(config: PushConfig) -> Self {
        let mut push = Self::new(config.provider.into(), config.package);
        if let Some(dialects) = config.dialects {
            push.dialects = sipwake::Dialects::Only(dialects.into_iter().map(Into::into).collect());
        }
        if let Some(environment) = config.environment {
            push.environment = environment.into();
        }
        push.team_id = config.team_id;
        push.pn_param = config.pn_param;
        push.wakes_itself = config.wakes_itself;
        if let Some(removal) = config.removal {
            push.removal = removal.into();
        }
        push.push_calls = config.push_calls;
        push.push_messages = config.push_messages;
        push.linphone_params = config.linphone_params.into_iter().map(|param| (param.name, param.value)).collect();
        push
    }
}

impl From<Provider> for sipwake::Provider {
    fn from(provider: Provider) -> Self {
        match provider {
            Provider::Apns => Self::Apns,
            Provider::Fcm => Self::Fcm,
            Provider::FcmOnIos => Self::FcmOnIos,
            Provider::WebPush => Self::WebPush,
            Provider::Other { name } => Self::Other(name),
        }
    }
}

impl From<Environment> for sipwake::Environment {
    fn from(environment: Environment) -> Self {
        match environment {
            Environment::ServerDefault => Self::ServerDefault,
            Environment::Sandbox => Self::Sandbox,
            Environment::Production => Self::Production,
        }
    }
}

impl From<Dialect> for sipwake::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::XMpush => Self::XMpush,
            Dialect::Rfc8599 => Self::Rfc8599,
            Dialect::Linphone => Self::Linphone,
            Dialect::PortSip => Self::PortSip(PortSipHeader::XPush),
            Dialect::PortSipPbx12 => Self::PortSip(PortSipHeader::XPPush),
            Dialect::PortSipOld => Self::PortSip(PortSipHeader::PortsipPush),
            Dialect::Abto => Self::Abto,
            Dialect::AppIdInUri => Self::AppIdInUri,
            Dialect::AppIdInHeader => Self::AppIdInHeader,
        }
    }
}

impl From<Removal> for sipwake::Removal {
    fn from(removal: Removal) -> Self {
        match removal {
            Removal::SameBinding => Self::SameBinding,
            Removal::WithoutPrid => Self::WithoutPrid,
            Removal::NullPrid => Self::NullPrid,
        }
    }
}

impl From<PushMode> for Mode {
    fn from(mode: PushMode) -> Self {
        match mode {
            PushMode::Auto => Self::Auto,
            PushMode::Disabled => Self::Disabled,
            PushMode::Direct => Self::Direct,
            PushMode::Gateway { address } => Self::Gateway(address),
            PushMode::MizutechGateway => Self::mizutech_gateway(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_omitted_setting_is_the_cores_default() {
        let push = sipwake::PushConfig::from(PushConfig::plain(Provider::Fcm, "app"));
        assert_eq!(push, sipwake::PushConfig::new(sipwake::Provider::Fcm, "app"));
    }

    #[test]
    fn every_push_setting_arrives() {
        let push = sipwake::PushConfig::from(PushConfig {
            dialects: Some(vec![Dialect::Linphone, Dialect::PortSipPbx12]),
            environment: Some(Environment::Sandbox),
            team_id: Some("ABCDE12345".into()),
            pn_param: Some("x".into()),
            wakes_itself: true,
            removal: Some(Removal::NullPrid),
            push_calls: false,
            push_messages: false,
            linphone_params: vec![NamedValue { name: "pn-silent".into(), value: "1".into() }],
            ..PushConfig::plain(Provider::Other { name: "acme".into() }, "app")
        });
        let mut expected = sipwake::PushConfig::new(sipwake::Provider::Other("acme".into()), "app");
        expected.dialects =
            sipwake::Dialects::Only(vec![sipwake::Dialect::Linphone, sipwake::Dialect::PortSip(PortSipHeader::XPPush)]);
        expected.environment = sipwake::Environment::Sandbox;
        expected.team_id = Some("ABCDE12345".into());
        expected.pn_param = Some("x".into());
        expected.wakes_itself = true;
        expected.removal = sipwake::Removal::NullPrid;
        expected.push_calls = false;
        expected.push_messages = false;
        expected.linphone_params = vec![("pn-silent".into(), "1".into())];
        assert_eq!(push, expected);
    }
}
