//! What the fuzz targets have in common: how much memory something takes, and which descriptors there are.
//!
//! A target fails by a panic, as a test does. `cargo xtask fuzz` runs all of them.

pub mod fds;
pub mod heap;
