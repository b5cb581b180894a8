//! mock-gateway
