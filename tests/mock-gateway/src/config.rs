//! The configuration of a mock gateway.

use std::net::{Ipv4Addr, SocketAddr};

use crate::profile::Profile;

/// A user the registrar knows.
#[derive(Clone, Debug, PartialEq)]
pub struct UserConfig {
    /// The user part of the address of record.
    pub name: String,
    /// The user name for digest, if it differs.
    pub auth_name: Option<String>,
    /// The password.
    pub password: String,
    /// A profile of this user's own.
    pub profile: Option<Profile>,
}

impl UserConfig {
    /// A user with a password.
    pub fn new(name: &str, password: &str) -> UserConfig {
        UserConfig { name: name.into(), auth_name: None, password: password.into(), profile: None }
    }
}

/// The configuration of a mock gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Address for UDP and TCP; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The kind of server to be.
    pub profile: Profile,
    /// The digest realm.
    pub realm: String,
    /// The users.
    pub users: Vec<UserConfig>,
    /// Whether to run the upper SIP server, a second registrar in this process, for X-PIID.
    pub upper: bool,
    /// How many messages the record keeps.
    pub record: usize,
}

impl Config {
    /// Loopback, a free port, realm `asterisk`, no users; the upper server runs if the profile registers upstream.
    pub fn new(profile: Profile) -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            upper: profile.registers_upstream,
            profile,
            realm: "asterisk".into(),
            users: Vec::new(),
            record: 10_000,
        }
    }

    /// Adds a user.
    pub fn user(mut self, name: &str, password: &str) -> Config {
        self.users.push(UserConfig::new(name, password));
        self
    }
}
