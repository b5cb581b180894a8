//! Reads what a REGISTER says about push, in every dialect.

use crate::parse::{Message, NameAddr, Param, Uri, param, params_of, percent_decode};
use crate::profile::Profile;

/// How a push binding was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// X-MPUSH.
    Mpush,
    /// RFC 8599.
    Rfc8599,
    /// X-Push and its older names.
    PortSip,
    /// `push-token-type`, `-app`, `-id`.
    PushToken,
    /// `app-id`, `pn-type`, `pn-tok`.
    AppId,
}

impl Dialect {
    /// Returns the stable name used by the control port.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::Mpush => "mpush",
            Dialect::Rfc8599 => "rfc8599",
            Dialect::PortSip => "portsip",
            Dialect::PushToken => "push-token",
            Dialect::AppId => "app-id",
        }
    }
}

/// The push service of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// FCM on Android.
    Fcm,
    /// PushKit on iOS.
    PushKit,
    /// FCM on iOS.
    FcmIos,
    /// Web push.
    Web,
}

impl Channel {
    /// Returns the stable name used by the control port.
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Fcm => "fcm",
            Channel::PushKit => "pushkit",
            Channel::FcmIos => "fcm-ios",
            Channel::Web => "web",
        }
    }
}

/// Where to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTarget {
    /// The dialect that carried it.
    pub dialect: Dialect,
    /// The provider, as written (`a`, `apns`, `ios`, …).
    pub provider: String,
    /// `s`, `p` or `d`, if X-MPUSH named one.
    pub environment: Option<char>,
    /// Project, package or bundle; empty if absent.
    pub app: String,
    /// The token, with escapes resolved.
    pub token: String,
    /// Whether calls are pushed.
    pub calls: bool,
    /// Whether chats are pushed.
    pub chats: bool,
}

impl PushTarget {
    /// Tells whether a device's token is this target's, or one of the two that Flexisip (`A:voip&B:remote`) and PortSIP
    /// (`A|B`) send.
    pub fn is_for(&self, token: &str) -> bool {
        let bare = |part: &str| part.strip_suffix(":voip").or(part.strip_suffix(":remote")).unwrap_or(part) == token;
        self.token == token || self.token.split(['&', '|']).any(bare)
    }

    /// Returns the push service this target belongs to.
    pub fn channel(&self) -> Channel {
        let provider = self.provider.to_ascii_lowercase();
        match provider.as_str() {
            "i" | "ios" | "apple" => Channel::PushKit,
            "j" => Channel::FcmIos,
            "w" | "webpush" => Channel::Web,
            p if p.starts_with("apns") => Channel::PushKit,
            _ => Channel::Fcm,
        }
    }
}

/// What one Contact of a REGISTER says about push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    pub(crate) bind: Option<PushTarget>,
    pub(crate) unbind: bool,
    /// `pn-provider` without `pn-prid`: its value, empty to list all.
    pub(crate) query: Option<String>,
    /// What is wrong, as a violation's name and detail.
    pub(crate) wrong: Vec<(&'static str, String)>,
}

/// Reads the push tags of one Contact and of the headers around it.
pub(crate) fn read(profile: &Profile, message: &Message, contact: &NameAddr) -> Tags {
    let mut tags = Tags::default();
    let uri = Uri::parse(&contact.uri).unwrap_or_default();
    if profile.reads_rfc8599 {
        rfc8599(&uri, &mut tags);
    }
    if profile.reads_legacy && tags.bind.is_none() {
        tags.bind = push_token(&contact.params).or_else(|| app_id(&uri.params)).or_else(|| app_id(&contact.params));
    }
    if profile.reads_mpush
        && let Some(value) = message.header("X-MPUSH")
    {
        if value.eq_ignore_ascii_case("null") {
            tags.unbind = true;
            tags.bind = None;
        } else if let Some(target) = mpush(value) {
            tags.bind = Some(target);
        } else {
            tags.wrong.push(("bad-x-mpush", value.to_owned()));
        }
    }
    if profile.reads_portsip
        && let Some(value) = ["X-Push", "x-p-push", "portsip-push"].iter().find_map(|n| message.header(n))
    {
        match portsip(value) {
            Some(target) if target.calls || target.chats => tags.bind = Some(target),
            Some(_) => tags.unbind = true,
            None => tags.wrong.push(("bad-x-push", value.to_owned())),
        }
    }
    tags
}

/// `X-MPUSH: [ENV:]PROVIDER:PACKAGE:TOKEN`, where the token may hold colons.
fn mpush(value: &str) -> Option<PushTarget> {
    let (first, rest) = value.split_once(':')?;
    let (environment, provider, rest) = match first {
        "s" | "p" | "d" => {
            let (provider, rest) = rest.split_once(':')?;
            (first.chars().next(), provider, rest)
        }
        _ => (None, first, rest),
    };
    let (app, token) = rest.split_once(':')?;
    let good = matches!(provider, "a" | "i" | "j" | "w") && !app.is_empty() && !token.is_empty();
    good.then(|| PushTarget {
        dialect: Dialect::Mpush,
        provider: provider.into(),
        environment,
        app: app.into(),
        token: token.into(),
        calls: true,
        chats: true,
    })
}

fn rfc8599(uri: &Uri, tags: &mut Tags) {
    let Some(provider) = uri.param("pn-provider") else {
        if uri.param("pn-prid").is_some() {
            tags.wrong.push(("pn-prid-without-provider", String::new()));
        }
        return;
    };
    match uri.param("pn-prid") {
        None => tags.query = Some(provider.to_owned()),
        Some(prid) if prid.eq_ignore_ascii_case("null") => tags.unbind = true,
        Some(prid) if prid.is_empty() || provider.is_empty() => {
            tags.wrong.push(("bad-pn-parameters", format!("pn-provider={provider};pn-prid={prid}")));
        }
        Some(prid) => {
            let wrong = |text: &str| text.contains(|c: char| "=;?@,\"<> ".contains(c) || !c.is_ascii());
            if wrong(prid) || wrong(uri.param("pn-param").unwrap_or_default()) {
                tags.wrong.push(("pn-unescaped", prid.to_owned()));
            }
            tags.bind = Some(PushTarget {
                dialect: Dialect::Rfc8599,
                provider: provider.into(),
                environment: None,
                app: percent_decode(uri.param("pn-param").unwrap_or_default()),
                token: percent_decode(prid),
                calls: true,
                chats: true,
            });
        }
    }
}

fn push_token(params: &[Param]) -> Option<PushTarget> {
    let token = percent_decode(param(params, "push-token-id")?);
    Some(PushTarget {
        dialect: Dialect::PushToken,
        provider: param(params, "push-token-type")?.into(),
        environment: None,
        app: param(params, "push-token-app").unwrap_or_default().into(),
        token,
        calls: true,
        chats: true,
    })
}

fn app_id(params: &[Param]) -> Option<PushTarget> {
    let app = param(params, "app-id")?;
    Some(PushTarget {
        dialect: Dialect::AppId,
        provider: param(params, "pn-type")?.into(),
        environment: app.ends_with(".dev").then_some('s').or(app.ends_with(".prod").then_some('p')),
        app: app.into(),
        token: percent_decode(param(params, "pn-tok")?),
        calls: true,
        chats: true,
    })
}

/// `device-os=ios;device-uid=TOKEN;allow-call-push=true;allow-message-push=true;app-id=BUNDLE`
fn portsip(value: &str) -> Option<PushTarget> {
    let params = params_of(value);
    let allowed = |name| param(&params, name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
    Some(PushTarget {
        dialect: Dialect::PortSip,
        provider: param(&params, "device-os")?.into(),
        environment: None,
        app: param(&params, "app-id").unwrap_or_default().into(),
        token: param(&params, "device-uid")?.into(),
        calls: allowed("allow-call-push"),
        chats: allowed("allow-message-push"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_x_mpush_token_may_hold_colons_and_both_sandbox_letters_are_read() {
        let target = mpush("a:com.app:c-10-ap_Kt0:G7S:x").expect("good");
        assert_eq!((target.token.as_str(), target.environment), ("c-10-ap_Kt0:G7S:x", None));
        for letter in ['s', 'd', 'p'] {
            assert_eq!(mpush(&format!("{letter}:i:com.app:AB")).expect("good").environment, Some(letter));
        }
        assert_eq!(mpush("x:com.app:AB"), None);
        assert_eq!(mpush("a:com.app:"), None);
    }

    #[test]
    fn contact_tags_are_read_in_every_older_form() {
        let profile = Profile::named("mizutech").expect("known");
        let empty = Message::parse(b"REGISTER sip:a SIP/2.0\r\n\r\n").expect("SIP");
        let bind = |contact: &str| read(&profile, &empty, &NameAddr::parse(contact)).bind.expect("a binding");
        assert_eq!(bind("<sip:a@b>;push-token-type=firebase;push-token-app=x;push-token-id=a%3ab").token, "a:b");
        assert_eq!(bind("<sip:a@b;app-id=x.dev;pn-type=apple;pn-tok=AB>").environment, Some('s'));
        assert_eq!(bind("<sip:a@b>;app-id=x;pn-type=google;pn-tok=AB").channel(), Channel::Fcm);
        assert_eq!(bind("<sip:a@b;pn-provider=fcm;pn-param=p;pn-prid=a%3Bb>").token, "a;b");
    }

    #[test]
    fn a_target_matches_each_of_its_two_tokens() {
        let mut target = mpush("i:app:AB:voip&CD:remote").expect("good");
        assert!(target.is_for("AB") && target.is_for("CD") && !target.is_for("A"));
        target.token = "V|A".into();
        assert!(target.is_for("V") && target.is_for("V|A"));
    }

    #[test]
    fn portsip_unbinds_when_no_kind_of_push_is_allowed() {
        let profile = Profile::named("portsip").expect("known");
        let message = Message::parse(
            b"REGISTER sip:a SIP/2.0\r\nX-Push: device-os=ios;device-uid=V|A;allow-call-push=false;allow-message-push=false;app-id=x\r\n\r\n",
        )
        .expect("SIP");
        assert!(read(&profile, &message, &NameAddr::parse("<sip:a@b>")).unbind);
    }
}
