//! PortSIP PBX's `X-Push` (S0) and its older names.
//!
//! ```text
//! X-Push: device-os=ios|android;device-uid=TOKEN;allow-call-push=true|false;allow-message-push=true|false;app-id=BUNDLE
//! ```

use serde::{Deserialize, Serialize};

use super::{Binding, Provider, Push, PushToken, Tags};

/// The header's name, which changed with the PBX's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum PortSipHeader {
    /// `X-Push`.
    #[default]
    XPush,
    /// `x-p-push`, PBX 12.
    XPPush,
    /// `portsip-push`, before that.
    PortsipPush,
}

/// Adds the header. An unbound device stays known, but gets neither calls nor messages.
pub(super) fn write(
    header: PortSipHeader,
    push: &Push,
    binding: Binding<'_>,
    last: Option<&PushToken>,
    tags: &mut Tags,
) {
    let (token, calls, messages) = match binding {
        Binding::Token(token) => (Some(token), push.push_calls, push.push_messages),
        Binding::Unbound => (last, false, false),
        Binding::LoggedOut(last) => (last, false, false),
        Binding::NoneYet | Binding::Query(_) => return,
    };
    let name = match header {
        PortSipHeader::XPush => "X-Push",
        PortSipHeader::XPPush => "x-p-push",
        PortSipHeader::PortsipPush => "portsip-push",
    };
    let os = match push.provider() {
        Provider::Apns | Provider::FcmOnIos => "ios",
        Provider::Fcm | Provider::WebPush | Provider::Other(_) => "android",
    };
    let uid = token.map(|token| device_uid(push, token)).unwrap_or_default();
    let allow = |allows| if allows { "true" } else { "false" };
    let (calls, messages) = (allow(calls), allow(messages));
    let value = ["device-os=", os, ";device-uid=", &uid, ";allow-call-push=", calls, ";allow-message-push=", messages];
    tags.header(name, [&value.concat(), ";app-id=", push.package()].concat());
}

/// `VOIP|APNS` for both tokens of an iPhone, `|APNS` for the alert token alone.
fn device_uid(push: &Push, token: &PushToken) -> String {
    match (push.provider(), token.call(), token.alert()) {
        (Provider::Apns, call, Some(alert)) => format!("{}|{alert}", call.unwrap_or_default()),
        _ => token.single().to_owned(),
    }
}
