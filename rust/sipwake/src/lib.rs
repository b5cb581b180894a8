//! sipwake
