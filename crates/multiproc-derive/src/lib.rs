//! The derive macros of the `multiproc` crates.
//!
//! - [`ShmSafe`](macro@ShmSafe): a struct that may live in shared memory. Use it through `multiproc_shm`.
//! - [`ShmSafeFacade`](macro@ShmSafeFacade): the same with the paths of the crate `multiproc`, which exports it
//!   under the name `ShmSafe`.

mod shm_safe;

use proc_macro::TokenStream;

/// Derives `ShmSafe` for a struct that is `repr(C)` or `repr(transparent)`.
///
/// Every field must be `ShmSafe` itself, there must be no padding between or behind them, and the struct must
/// not implement `Drop`: all of it is checked when the program is compiled. Type parameters get the bound
/// `ShmSafe`. Values with different constant or type parameters are of different types also in shared memory,
/// whether or not a field shows the parameter.
///
/// `#[shm_safe(crate = path)]` names the crate `multiproc_shm` where it goes by another path.
#[proc_macro_derive(ShmSafe, attributes(shm_safe))]
pub fn derive_shm_safe(input: TokenStream) -> TokenStream {
    shm_safe::expand(input.into(), &syn::parse_quote!(::multiproc_shm)).into()
}

/// Derives `ShmSafe` for programs that depend on the crate `multiproc` alone.
#[proc_macro_derive(ShmSafeFacade, attributes(shm_safe))]
pub fn derive_shm_safe_facade(input: TokenStream) -> TokenStream {
    shm_safe::expand(input.into(), &syn::parse_quote!(::multiproc::shm)).into()
}
