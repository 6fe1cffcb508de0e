//! # Safety
//!
//! What is written into other crates is an `unsafe impl`. Its promise is checked by what stands beside it: the
//! layout constant names the trait's constant of every field, so each must have it, and does not compile if there
//! are bytes beside the fields or a destructor; enums, unions, lifetimes and packed structs are refused before.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Data, DeriveInput, Error, Fields, GenericParam, Ident, Member, Path, Result, parse_quote,
    spanned::Spanned,
};

/// Expands the derive; an error becomes a `compile_error!`.
pub(crate) fn expand(input: TokenStream, default_crate: &Path) -> TokenStream {
    syn::parse2::<DeriveInput>(input)
        .and_then(|input| implement(&input, default_crate))
        .unwrap_or_else(Error::into_compile_error)
}

fn implement(input: &DeriveInput, default_crate: &Path) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => {
            let text = "an enum cannot be `ShmSafe`: another process may leave a value that is no variant; \
                        use an integer or an atomic and constants";
            return Err(Error::new(data.enum_token.span(), text));
        }
        Data::Union(data) => {
            let text = "a union cannot be `ShmSafe`: nothing tells which field is valid; use a struct";
            return Err(Error::new(data.union_token.span(), text));
        }
    };
    check_repr(input)?;
    let krate = crate_path(input)?.unwrap_or_else(|| default_crate.clone());
    let name = &input.ident;
    let shown = name.to_string();

    let mut generics = input.generics.clone();
    for param in &mut generics.params {
        match param {
            GenericParam::Type(param) => param.bounds.push(parse_quote!(#krate::ShmSafe)),
            GenericParam::Lifetime(param) => {
                let text = "a type with a lifetime cannot be `ShmSafe`: a reference means nothing to another process";
                return Err(Error::new(param.span(), text));
            }
            GenericParam::Const(_) => {}
        }
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let parameters = generics.params.iter().map(|param| mix_in(param, &krate));

    let members: Vec<Member> = fields.members().collect();
    let names: Vec<String> = members.iter().map(|member| member.to_token_stream().to_string()).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let padding = format!(
        "`{shown}` has padding between its fields or behind them: reorder them, or fill the gaps with named fields"
    );
    let drop = format!("`{shown}` has a destructor: nobody could say which process should run it");

    // A type without parameters is checked where it is defined, any other where it is used.
    let check_now = generics.params.is_empty().then(|| {
        quote! { const _: u64 = <#name as #krate::ShmSafe>::LAYOUT; }
    });

    Ok(quote! {
        // SAFETY: each field is `ShmSafe`, as the constant's use of its layout makes sure; the constant also
        // fails to compile if there are bytes beside the fields or a destructor.
        #[automatically_derived]
        unsafe impl #impl_generics #krate::ShmSafe for #name #type_generics #where_clause {
            const LAYOUT: u64 = {
                let mut hash = #krate::layout::start(#shown);
                let mut filled = 0;
                #(#parameters)*
                #(
                    hash = #krate::layout::field(
                        hash,
                        #names,
                        <#types as #krate::ShmSafe>::LAYOUT,
                        ::core::mem::offset_of!(Self, #members),
                    );
                    filled += ::core::mem::size_of::<#types>();
                )*
                ::core::assert!(filled == ::core::mem::size_of::<Self>(), #padding);
                ::core::assert!(!::core::mem::needs_drop::<Self>(), #drop);
                #krate::layout::finish::<Self>(hash)
            };
            const PARTS: &'static [#krate::layout::Part] = &[
                #(
                    #krate::layout::Part::Field(
                        #names,
                        ::core::mem::offset_of!(Self, #members),
                        <#types as #krate::ShmSafe>::PARTS,
                    ),
                )*
            ];
        }
        #check_now
    })
}

/// What mixes a parameter into the hash, since a field need not show it: `Metres<1>` is no `Metres<1000>`.
fn mix_in(param: &GenericParam, krate: &Path) -> TokenStream {
    // As if the macro had written it, so that lints about casts do not blame the program.
    let here = |ident: &Ident| {
        let mut ident = ident.clone();
        ident.set_span(Span::call_site());
        (ident.to_string(), ident)
    };
    match param {
        // An integer, a `bool` or a `char`: all of them can be cast.
        GenericParam::Const(param) => {
            let (name, value) = here(&param.ident);
            quote! { hash = #krate::layout::const_parameter(hash, #name, #value as u128); }
        }
        GenericParam::Type(param) => {
            let (name, ty) = here(&param.ident);
            quote! {
                hash = #krate::layout::type_parameter(hash, #name, <#ty as #krate::ShmSafe>::LAYOUT);
            }
        }
        GenericParam::Lifetime(_) => TokenStream::new(),
    }
}

/// The layout must be the same for every build that shares the memory.
fn check_repr(input: &DeriveInput) -> Result<()> {
    let mut fixed = false;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("C") || meta.path.is_ident("transparent") {
                fixed = true;
            } else if meta.path.is_ident("packed") {
                return Err(
                    meta.error("a packed struct cannot be `ShmSafe`: its fields could not be borrowed")
                );
            }
            // `align(n)` and `packed(n)` have an argument that is of no interest here.
            if meta.input.peek(syn::token::Paren) {
                let argument;
                syn::parenthesized!(argument in meta.input);
                let _: TokenStream = argument.parse()?;
            }
            Ok(())
        })?;
    }
    if fixed || matches!(&input.data, Data::Struct(data) if matches!(data.fields, Fields::Unit)) {
        return Ok(());
    }
    let text = format!(
        "`{}` needs `#[repr(C)]`: otherwise each build may order its fields in another way",
        input.ident
    );
    Err(Error::new(input.ident.span(), text))
}

/// The argument of `#[shm_safe(crate = path)]`.
fn crate_path(input: &DeriveInput) -> Result<Option<Path>> {
    let mut found = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("shm_safe")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("crate") {
                found = Some(meta.value()?.call(Path::parse_mod_style)?);
                Ok(())
            } else {
                Err(meta.error("unknown option: the only one is `crate = path`"))
            }
        })?;
    }
    Ok(found)
}
