//! The host that gave a nonce.

use serde::{Deserialize, Serialize};

/// Names the host that a nonce came from. Apps that keep the nonces of only one host use the same id for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct HostId(u64);

impl HostId {
    pub(crate) fn of(host: &str) -> Self {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(host);
        Self(digest.iter().take(8).fold(0, |id, byte| (id << 8) | u64::from(*byte)))
    }
}
