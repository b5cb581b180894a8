//! sipwake against the mock gateway: every scene over real sockets, most of them over UDP and TCP.

mod accounts;
mod answers;
mod bounds;
mod calls;
mod faults;
mod inside;
mod lifetime;
mod probes;
mod restart;
mod sealed;
mod story;
mod tokens;
mod upstream;
mod wakes;
