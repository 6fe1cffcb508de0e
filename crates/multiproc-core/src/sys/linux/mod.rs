//! Linux: one file per topic.

pub mod child;
pub mod clock;
pub mod fd;
pub mod futex;
pub mod image;
pub mod memory;
pub mod process;
pub mod thread;
