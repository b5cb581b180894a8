//! The client over virtual time: no network, no clock, no runtime. Its server is written by hand, message for message.

mod accounts_and_calls;
mod answers;
mod asked;
mod asynchronous_store;
mod beside;
mod black_box;
mod call_credentials;
mod dialogs;
mod digest;
mod do_not_disturb;
mod entry;
mod fields;
mod flows;
mod forged_pushes;
mod former_gateway;
mod golden;
mod habits;
mod hostile_memory;
mod incoming;
mod log_out;
mod matching;
mod matching_oracle;
mod mid_call;
mod push_calls;
mod random_life;
mod refused_push;
#[cfg(feature = "replay")]
mod replay;
mod service_route;
mod shut_store;
mod spellings;
mod store_failure;
mod support;
mod taken_back;
mod token_life;
mod trust;
