//! The sipwake command line.
fn main() {}
