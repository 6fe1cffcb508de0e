//! Linux: one file per topic.

pub mod barrier;
pub mod child;
pub mod clock;
pub mod epoll;
pub mod fd;
pub mod futex;
pub mod image;
pub mod interrupt;
pub mod memory;
pub mod peer;
pub mod process;
pub mod random;
pub mod socket;
pub mod thread;
