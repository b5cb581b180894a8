//! Mizutech's `X-MPUSH`, `X-PIID` and `X-Sy.*` (S2, "SIP Signaling / X-MPUSH").
//!
//! ```text
//! X-MPUSH: [ENV:]PROVIDER:PACKAGE:TOKEN   |   X-MPUSH: null
//! ENV = "s" (sandbox) / "p" (production);  PROVIDER = "a" FCM / "i" APNs / "j" FCM on iOS / "w" web push
//! X-PIID: MD5(username ":" realm ":" password)
//! ```

use super::{Binding, Environment, Provider, Push, Tags};
use crate::account::UpperServer;
use crate::digest::{Algorithm, Credentials, ha1};
use crate::redact::Secret;

/// Adds `X-MPUSH`. It goes with every REGISTER: the first, each refresh and each authenticated retry.
pub(super) fn write(push: &Push, binding: Binding<'_>, tags: &mut Tags) {
    match binding {
        Binding::Token(token) => {
            let environment = match push.environment() {
                Environment::ServerDefault => "",
                Environment::Sandbox => "s:",
                Environment::Production => "p:",
            };
            let Some(provider) = letter(push.provider()) else { return };
            tags.header("X-MPUSH", [environment, provider, ":", push.package(), ":", token.single()].concat());
        }
        Binding::Unbound | Binding::LoggedOut(_) => tags.header("X-MPUSH", "null".to_owned()),
        Binding::NoneYet | Binding::Query(_) => {}
    }
}

pub(super) fn letter(provider: &Provider) -> Option<&'static str> {
    match provider {
        Provider::Fcm => Some("a"),
        Provider::Apns => Some("i"),
        Provider::FcmOnIos => Some("j"),
        Provider::WebPush => Some("w"),
        Provider::Other(_) => None,
    }
}

/// Returns the value of `X-PIID`: the HA1 for the *upper* server's realm. With it, the gateway keeps the upper
/// registration alive.
///
/// It works like the password for MD5 digest.
pub fn piid(username: &str, realm: &str, credentials: &Credentials) -> Option<Secret> {
    match credentials {
        Credentials::Password(password) => Some(ha1(Algorithm::Md5, username, realm, password.expose())),
        Credentials::Ha1(values) => values
            .iter()
            .find(|value| value.realm == realm && value.algorithm == Algorithm::Md5)
            .map(|value| value.ha1.clone()),
    }
}

/// Adds the headers that name the server behind the gateway.
pub(crate) fn write_upper(upper: Option<&UpperServer>, tags: &mut Tags) {
    let Some(upper) = upper else { return };
    for (name, value) in
        [("X-Sy.Uppersrv", &upper.server), ("X-Sy.Upperproxy", &upper.proxy), ("X-Sy.Uppersrvd", &upper.domain)]
    {
        if let Some(value) = value {
            tags.header(name, value.clone());
        }
    }
}
