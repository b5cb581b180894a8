//! The Contact parameters that came before RFC 8599: ABTO's (S1), and Flexisip's and Kazoo's `app-id` trio.

use super::{Binding, Environment, Provider, Push, Removal, Tags};

/// Adds ABTO's parameters of the Contact *header*: `;push-token-type=firebase;push-token-app=NAME;push-token-id=TOKEN`.
pub(super) fn write_abto(push: &Push, binding: Binding<'_>, tags: &mut Tags) {
    let Binding::Token(token) = binding else { return };
    let kind = match push.provider() {
        Provider::Fcm | Provider::FcmOnIos => "firebase",
        Provider::Apns => "apple",
        other => super::rfc8599::provider_name(other),
    };
    for (name, value) in
        [("push-token-type", kind), ("push-token-app", push.package()), ("push-token-id", token.single())]
    {
        tags.contact_param(name, value);
    }
}

/// Adds `app-id`, `pn-type`, `pn-tok`, in exactly this order, to the Contact URI or, for Kazoo, to the header.
pub(super) fn write_app_id(in_uri: bool, push: &Push, binding: Binding<'_>, tags: &mut Tags) {
    let token = match binding {
        Binding::Token(token) => token,
        // A server that compares whole URIs finds only exactly the Contact that was bound.
        Binding::LoggedOut(Some(token)) if in_uri && push.removal() == Removal::SameBinding => token,
        _ => return,
    };
    let kind = match push.provider() {
        Provider::Apns => "apple",
        Provider::Fcm => "firebase",
        Provider::FcmOnIos => "google",
        other => super::rfc8599::provider_name(other),
    };
    let suffix = match (push.provider(), push.environment()) {
        (Provider::Apns, Environment::Sandbox) => ".dev",
        (Provider::Apns, Environment::Production) => ".prod",
        _ => "",
    };
    let app = [push.package(), suffix].concat();
    for (name, value) in [("app-id", app.as_str()), ("pn-type", kind), ("pn-tok", token.single())] {
        if in_uri {
            tags.uri_param(name, value);
        } else {
            tags.contact_param(name, value);
        }
    }
}
