//! What the model of kills is told to try; `MULTIPROC_MODEL=full` has it try all of it.
#![cfg(all(multiproc_model, target_arch = "x86_64", target_os = "linux"))]

// The protocols that are wrong.
mod controls;

// The words that all is made of.
mod lock;
mod monitor;

// What is made of them.
mod barrier;
mod condvar;
mod event;
mod rwlock;
mod semaphore;

// Rings.
mod channel;
mod handles;
mod leases;
mod parts;
mod queue;
mod ring;
mod spsc;
