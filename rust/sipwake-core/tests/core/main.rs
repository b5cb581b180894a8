//! The client over virtual time: no network, no clock, no runtime. Its server is written by hand, message for message.

mod answers;
mod asynchronous_store;
mod call_credentials;
mod dialogs;
mod digest;
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
mod push_calls;
mod random_life;
mod refused_push;
mod service_route;
mod shut_store;
mod store_failure;
mod support;
mod taken_back;
mod token_life;
mod trust;
