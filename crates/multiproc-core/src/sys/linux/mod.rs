//! Linux: one file per topic.

pub mod child;
pub mod fd;
pub mod image;
pub mod memory;
pub mod process;
