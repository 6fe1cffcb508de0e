//! The parts from which a type's layout hash is made; used by the derive macro.
//!
//! FNV-1a, because it can run in a constant; it guards against mistakes, not against forgers.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

const fn bytes(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(PRIME);
        index += 1;
    }
    // The length keeps "ab", "c" apart from "a", "bc".
    number(hash, bytes.len() as u64)
}

const fn number(mut hash: u64, number: u64) -> u64 {
    let mut shift = 0;
    while shift < 64 {
        hash = (hash ^ (number >> shift & 0xff)).wrapping_mul(PRIME);
        shift += 8;
    }
    hash
}

/// Starts the hash of a type by its name.
#[must_use]
pub const fn start(name: &str) -> u64 {
    bytes(OFFSET, name.as_bytes())
}

/// Mixes in a constant parameter of the type: its name and its value.
///
/// It may stand for a unit or a version that no field shows.
#[must_use]
pub const fn const_parameter(hash: u64, name: &str, value: u128) -> u64 {
    number(number(bytes(hash, name.as_bytes()), value as u64), (value >> 64) as u64)
}

/// Mixes in a type parameter of the type: its name and its layout.
#[must_use]
pub const fn type_parameter(hash: u64, name: &str, layout: u64) -> u64 {
    number(bytes(hash, name.as_bytes()), layout)
}

/// Mixes in a field: its name, the layout of its type and its offset.
#[must_use]
pub const fn field(hash: u64, name: &str, layout: u64, offset: usize) -> u64 {
    number(number(bytes(hash, name.as_bytes()), layout), offset as u64)
}

/// Ends the hash of a type by its size and alignment.
#[must_use]
pub const fn finish<T>(hash: u64) -> u64 {
    number(number(hash, size_of::<T>() as u64), align_of::<T>() as u64)
}

/// The hash of a type that consists of nothing else.
#[must_use]
pub const fn leaf<T>(name: &str) -> u64 {
    finish::<T>(start(name))
}
