//! The tests of this crate, one module per type.
//!
//! - `shared`: values without a name;
//! - `named`: values with one, and everything that may stand in its place;
//! - `bytes`, `slice`, `block`, `pool`: the other types; - `hostile`: descriptors that no honest sender makes;
//! - `limits`: more memory than there is; - `compile`: what must and what must not compile.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

mod block;
mod bytes;
mod compile;
mod hostile;
mod limits;
mod named;
mod pool;
mod shared;
mod slice;
mod util;
