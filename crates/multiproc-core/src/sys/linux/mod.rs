//! Linux.

pub mod memory;
