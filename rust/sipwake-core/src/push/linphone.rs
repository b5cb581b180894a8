//! Linphone's and Flexisip's form of RFC 8599: two tokens in one `pn-prid`, and the text of a notification.
//!
//! ```text
//! pn-provider=apns|apns.dev|fcm; pn-param=TEAM.bundle.voip&remote; pn-prid=TOKEN:voip&TOKEN:remote
//! ```

use super::{Binding, Environment, Provider, Push, Removal, Tags};

/// Adds the `pn-*` parameters with as many services as there are tokens.
pub(super) fn write(push: &Push, binding: Binding<'_>, tags: &mut Tags) {
    let token = match binding {
        Binding::Token(token) => Some(token),
        Binding::LoggedOut(last) => match push.removal() {
            Removal::SameBinding => last,
            Removal::NullPrid | Removal::WithoutPrid => None,
        },
        Binding::Unbound | Binding::NoneYet => return,
        Binding::Query(_) => return super::rfc8599::write(push, binding, tags),
    };
    let (call, alert) = token.map_or((None, None), |token| (token.call(), token.alert()));
    let (provider, param, prid) = if *push.provider() == Provider::Apns {
        let provider = if push.environment() == Environment::Sandbox { "apns.dev" } else { "apns" };
        let (services, prid) = match (call, alert) {
            (Some(call), Some(alert)) => ("voip&remote", Some(format!("{call}:voip&{alert}:remote"))),
            (None, Some(alert)) => ("remote", Some(format!("{alert}:remote"))),
            (Some(call), None) => ("voip", Some(format!("{call}:voip"))),
            (None, None) => ("voip", None),
        };
        (provider, push.app_with_service(services).into(), prid)
    } else {
        let prid = token.map(|token| token.single().to_owned());
        (super::rfc8599::provider_name(push.provider()), push.pn_param().unwrap_or_default(), prid)
    };
    let prid = match (prid, push.removal(), binding) {
        (None, Removal::NullPrid, Binding::LoggedOut(_)) => Some("null".to_owned()),
        (prid, _, _) => prid,
    };
    tags.uri_param("pn-provider", provider);
    if !param.is_empty() {
        tags.uri_param("pn-param", &param);
    }
    if let Some(prid) = prid {
        tags.uri_param("pn-prid", &prid);
    }
    if matches!(binding, Binding::Token(_)) {
        for (name, value) in push.linphone_params() {
            tags.named_uri_param(name, value);
        }
    }
}
