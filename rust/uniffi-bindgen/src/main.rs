//! `uniffi-bindgen generate LIBRARY --language kotlin --out-dir FOLDER`; `scripts/bindgen` calls it.
#![forbid(unsafe_code)]

fn main() {
    uniffi::uniffi_bindgen_main();
}
