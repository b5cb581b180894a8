//! The push modes of Mizutech's own SDK (`SetPushNotifications`), as ready-made configurations.

use super::{Dialect, Dialects, PushConfig};
use crate::account::AccountConfig;

/// The gateway that Mizutech runs for its own softphones.
pub const MIZUTECH_GATEWAY: &str = "fcm.webvoipphone.com:35060";
/// The package that goes with [`MIZUTECH_GATEWAY`].
pub const MIZUTECH_PACKAGE: &str = "com.mizuvoip.mizudroid.app";

/// How push works, by the names in Mizutech's SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// -1 and 1: try what the server understands.
    Auto,
    /// 0: no push. A token that was bound before is unbound by [`UserAgent::unbind_push`](crate::user_agent::UserAgent::unbind_push).
    Disabled,
    /// 2: the SIP server itself understands `X-MPUSH`.
    Direct,
    /// 3: through a push gateway, given as `host:port` or URI.
    Gateway(String),
}

impl Mode {
    /// Returns mode 3 with the gateway that Mizutech runs.
    pub fn mizutech_gateway() -> Self {
        Self::Gateway(MIZUTECH_GATEWAY.to_owned())
    }

    /// Sets what this mode means on an account and its push settings.
    pub fn apply(&self, account: &mut AccountConfig, push: &mut PushConfig) {
        push.dialects = match self {
            Self::Auto => Dialects::Auto,
            Self::Disabled => Dialects::Only(Vec::new()),
            Self::Direct | Self::Gateway(_) => Dialects::Only(vec![Dialect::XMpush]),
        };
        if matches!(self, Self::Direct | Self::Gateway(_)) {
            account.send_piid.get_or_insert(true);
        }
        if let Self::Gateway(gateway) = self {
            account.gateways = vec![gateway.clone()];
            if account.upper.server.is_none() {
                let server = account.registrar.as_deref().unwrap_or(&account.aor);
                let server = server.rsplit('@').next().unwrap_or(server);
                let server = server.strip_prefix("sips:").or(server.strip_prefix("sip:")).unwrap_or(server);
                let server = server.split(';').next().unwrap_or(server);
                account.upper.server = Some(server.to_owned());
            }
        }
    }
}
