//! Prints the public items of a crate, one per line, from rustdoc's JSON: `public-api JSON`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(json) = std::env::args().nth(1) else {
        return said("Usage: public-api JSON");
    };
    // The standard library's blanket implementations exist for every type and say nothing about the crate.
    let read = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build();
    match read {
        Ok(api) => {
            for item in api.items() {
                println!("{item}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => said(&format!("rustdoc's JSON cannot be read: {error}")),
    }
}

#[allow(clippy::print_stderr)]
fn said(what: &str) -> ExitCode {
    eprintln!("public-api: {what}");
    ExitCode::FAILURE
}
