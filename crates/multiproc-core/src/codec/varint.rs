use super::error::{DecodeError, DecodeKind};

/// Numbers as postcard writes them: seven bits a byte, the lowest first, the top bit says that more follow.
///
/// As there, a number may be written longer than need be, but neither longer than its type's largest nor larger.
pub(super) trait Varint: Sized {
    /// Appends the number.
    fn put(self, out: &mut Vec<u8>);
    /// Takes a number off the front.
    fn take(input: &mut &[u8]) -> Result<Self, DecodeError>;
}

macro_rules! varint {
    ($($int:ident),*) => {$(
        impl Varint for $int {
            #[inline]
            fn put(self, out: &mut Vec<u8>) {
                const MAX_LEN: usize = $int::BITS.div_ceil(7) as usize;
                if self < 0x80 {
                    out.push(self as u8);
                    return;
                }
                let mut buffer = [0; MAX_LEN];
                let mut len = 0;
                let mut rest = self;
                while rest >= 0x80 {
                    buffer[len] = rest as u8 | 0x80;
                    rest >>= 7;
                    len += 1;
                }
                buffer[len] = rest as u8;
                // A copy of constant length is a store or two; one of the exact length would be a call.
                let end = out.len() + len + 1;
                out.extend_from_slice(&buffer);
                out.truncate(end);
            }

            #[inline]
            fn take(input: &mut &[u8]) -> Result<$int, DecodeError> {
                const MAX_LEN: usize = $int::BITS.div_ceil(7) as usize;
                const MAX_OF_LAST: u8 = ((1u16 << ($int::BITS % 7)) - 1) as u8;
                if let Some((&byte, rest)) = input.split_first()
                    && byte < 0x80
                {
                    *input = rest;
                    return Ok($int::from(byte));
                }
                let mut number: $int = 0;
                for (at, &byte) in input.iter().take(MAX_LEN).enumerate() {
                    number |= $int::from(byte & 0x7f) << (7 * at);
                    if byte < 0x80 {
                        if at == MAX_LEN - 1 && byte > MAX_OF_LAST {
                            break;
                        }
                        *input = &input[at + 1..];
                        return Ok(number);
                    }
                }
                Err(refusal(input.iter().take(MAX_LEN).any(|byte| *byte < 0x80) || input.len() >= MAX_LEN))
            }
        }
    )*};
}

varint!(u16, u32, u64, u128);

/// The error for a number that is `complete` and too large, or that the message's end cuts off.
#[cold]
fn refusal(complete: bool) -> DecodeError {
    if complete {
        DecodeKind::Invalid("a number that is too large for its type").into()
    } else {
        DecodeKind::Truncated.into()
    }
}

/// Takes a length or count, which must fit this machine's addresses.
#[inline]
pub(super) fn take_len(input: &mut &[u8]) -> Result<usize, DecodeError> {
    usize::try_from(u64::take(input)?).map_err(|_| refusal(true))
}

/// Puts the number before what was written since `start`, for lengths that are known only afterwards.
pub(super) fn insert_len(out: &mut Vec<u8>, start: usize, number: usize) {
    let end = out.len();
    (number as u64).put(out);
    let width = out.len() - end;
    out[start..].rotate_right(width);
}

/// Folds the sign into the lowest bit, so that small negative numbers are short.
macro_rules! zigzag {
    ($($to:ident, $from:ident: $int:ident <-> $uint:ident;)*) => {$(
        #[inline]
        pub(super) fn $to(n: $int) -> $uint {
            ((n << 1) ^ (n >> ($int::BITS - 1))) as $uint
        }

        #[inline]
        pub(super) fn $from(n: $uint) -> $int {
            (n >> 1) as $int ^ -((n & 1) as $int)
        }
    )*};
}

zigzag! {
    zigzag_16, unzigzag_16: i16 <-> u16;
    zigzag_32, unzigzag_32: i32 <-> u32;
    zigzag_64, unzigzag_64: i64 <-> u64;
    zigzag_128, unzigzag_128: i128 <-> u128;
}
