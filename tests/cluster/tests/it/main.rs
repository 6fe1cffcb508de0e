//! The pool over several hosts, with real servers and real agents, counted afterwards.

/// What it does when nothing happens.
mod uses;
