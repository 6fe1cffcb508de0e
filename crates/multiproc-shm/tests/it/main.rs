//! The tests of this crate, one module per type.
//!
//! - `shared`: values without a name; - `named`: values with one, and everything that may stand in its place;
//! - `bytes`, `slice`, `block`, `pool`: the other types; - `hostile`: descriptors that no honest sender makes;
//! - `limits`: more memory than there is; - `compile`: what must and what must not compile.

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
