//! For apps that register with a SIP stack of their own: what to add to a REGISTER, and what the response means.

use std::sync::Arc;

use sipwake::core::push;
use sipwake::{Binding, Push};

use crate::error::SipWakeError;
use crate::event::Verdict;
use crate::push::{NamedValue, PushConfig};

/// One parameter with or without a value.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Tag {
    /// The parameter's name.
    pub name: String,
    /// Its value, already escaped for its place. It may hold a token, so do not log it.
    pub value: Option<String>,
}

/// What a REGISTER must carry so that the server knows where to push. It holds tokens, so do not log it.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct RegisterTags {
    /// Header fields, such as `X-MPUSH`.
    pub headers: Vec<NamedValue>,
    /// Parameters of the Contact URI, inside `<` and `>`, such as `pn-prid`.
    pub uri_params: Vec<Tag>,
    /// Parameters of the Contact header, after `>`, such as `+sip.pnsreg`.
    pub contact_params: Vec<Tag>,
    /// The Contact URI's parameters as text: `;pn-provider=apns;pn-prid=…`.
    pub uri_params_text: String,
    /// The Contact header's parameters as text: `;+sip.pnsreg`.
    pub contact_params_text: String,
}

/// What a REGISTER says about the push binding.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
pub enum TagsBinding {
    /// Push to this token. Without a token, the REGISTER says nothing about push.
    Token {
        /// The token for calls.
        token: Option<String>,
        /// The token for alerts (iOS).
        alert: Option<String>,
    },
    /// Stop pushing, but stay registered.
    Unbound,
    /// Stop pushing, and forget the Contact that was bound with this token.
    LoggedOut {
        /// The token for calls.
        token: Option<String>,
        /// The token for alerts (iOS).
        alert: Option<String>,
    },
    /// Ask whether the server supports this provider or, if none is named, which ones it supports (RFC 8599 section
    /// 4.1.5).
    Query {
        /// A provider's name.
        provider: Option<String>,
    },
}

/// Writes the tags of the push dialects and reads the server's verdict, for another SIP stack. It opens no socket.
#[derive(uniffi::Object)]
pub struct TagsCompanion {
    push: Push,
}

#[uniffi::export]
impl TagsCompanion {
    /// Checks the push settings.
    ///
    /// # Errors
    /// `InvalidField` names the field and the rule.
    #[uniffi::constructor]
    pub fn new(push: PushConfig) -> Result<Arc<Self>, SipWakeError> {
        Ok(Arc::new(Self { push: Push::parse(push.into())? }))
    }

    /// Returns what every REGISTER must carry: the first one, each refresh and each retry with credentials.
    ///
    /// # Errors
    /// `InvalidField` for a token of the wrong shape.
    pub fn tags(&self, binding: TagsBinding) -> Result<RegisterTags, SipWakeError> {
        let parsed = match &binding {
            TagsBinding::Token { token, alert } | TagsBinding::LoggedOut { token, alert } => {
                self.push.parse_token(token.as_deref(), alert.as_deref())?
            }
            TagsBinding::Unbound | TagsBinding::Query { .. } => None,
        };
        let binding = match &binding {
            TagsBinding::Token { .. } => parsed.as_ref().map_or(Binding::NoneYet, Binding::Token),
            TagsBinding::Unbound => Binding::Unbound,
            TagsBinding::LoggedOut { .. } => Binding::LoggedOut(parsed.as_ref()),
            TagsBinding::Query { provider } => Binding::Query(provider.as_deref()),
        };
        Ok(self.push.tags(binding).into())
    }

    /// Returns what a server's response to a REGISTER with these tags says about push.
    ///
    /// # Errors
    /// None.
    pub fn verdict(&self, status: u16, headers: Vec<NamedValue>) -> Result<Verdict, SipWakeError> {
        let headers = headers.iter().map(|header| (header.name.as_str(), header.value.as_str()));
        Ok(self.push.verdict(status, headers).into())
    }
}

impl From<push::Tags> for RegisterTags {
    fn from(tags: push::Tags) -> Self {
        let (uri_params_text, contact_params_text) = (tags.uri_params_text(), tags.contact_params_text());
        let list = |tags: Vec<push::Tag>| -> Vec<Tag> {
            tags.into_iter().map(|tag| Tag { name: tag.name.into_owned(), value: tag.value }).collect()
        };
        let headers = tags.headers.into_iter();
        Self {
            headers: headers
                .map(|tag| NamedValue { name: tag.name.into_owned(), value: tag.value.unwrap_or_default() })
                .collect(),
            uri_params: list(tags.uri_params),
            contact_params: list(tags.contact_params),
            uri_params_text,
            contact_params_text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Standing;
    use crate::push::Provider;

    fn companion() -> Arc<TagsCompanion> {
        TagsCompanion::new(PushConfig::plain(Provider::Fcm, "app")).expect("valid settings")
    }

    #[test]
    fn a_token_becomes_tags_and_without_a_token_there_are_none() {
        let tags = companion().tags(TagsBinding::Token { token: Some("c:1".into()), alert: None }).expect("valid");
        assert_eq!(tags.uri_params_text, ";pn-provider=fcm;pn-param=app;pn-prid=c:1");
        let expected = NamedValue { name: "X-MPUSH".into(), value: "a:app:c:1".into() };
        assert_eq!(tags.headers, [expected]);
        let none = companion().tags(TagsBinding::Token { token: None, alert: None }).expect("valid");
        assert!(none.headers.is_empty() && none.uri_params.is_empty());
        let error = companion().tags(TagsBinding::Token { token: Some("a b".into()), alert: None });
        assert!(matches!(error, Err(SipWakeError::InvalidField { .. })));
    }

    #[test]
    fn a_verdict_is_read_from_any_stacks_headers() {
        let header = NamedValue { name: "feature-caps".into(), value: "*;+sip.pns=\"fcm\"".into() };
        let verdict = companion().verdict(200, vec![header]).expect("total");
        assert_eq!(verdict.standing, Standing::Confirmed);
        assert_eq!(companion().verdict(555, Vec::new()).expect("total").standing, Standing::Refused);
    }
}
