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

/// Every group's top bit.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Gives each of the lowest eight groups of seven bits a byte of its own.
#[inline]
fn spread(n: u64) -> u64 {
    let n = n & 0x0fff_ffff | (n & 0x00ff_ffff_f000_0000) << 4;
    let n = n & 0x0000_3fff_0000_3fff | (n & 0x0fff_c000_0fff_c000) << 2;
    n & 0x007f_007f_007f_007f | (n & 0x3f80_3f80_3f80_3f80) << 1
}

/// Undoes [`spread`]; the top bits play no role.
#[inline]
fn gather(n: u64) -> u64 {
    let n = n & 0x007f_007f_007f_007f | (n & 0x7f00_7f00_7f00_7f00) >> 1;
    let n = n & 0x0000_3fff_0000_3fff | (n & 0x3fff_0000_3fff_0000) >> 2;
    n & 0x0fff_ffff | (n & 0x0fff_ffff_0000_0000) >> 4
}

/// Appends a number of two bytes or more, all of its groups at once.
///
/// Large ones, whose lengths seldom vary, have paths of their own: there the processor need not know the length of this
/// number to go on with the next one.
#[inline]
fn put_long(n: u64, out: &mut Vec<u8>) {
    if n >> 56 != 0 {
        put_longest(n, out);
    } else if n >> 49 != 0 {
        out.extend_from_slice(&(spread(n) | MORE >> 8).to_le_bytes());
    } else {
        let bits = 64 - n.leading_zeros() as usize;
        // A seventh, rounded up, for all that there can be.
        let len = (bits * 9 + 64) / 64;
        let end = out.len() + len;
        // A copy of constant length is one store; one of the exact length would be a call.
        let more = MORE & ((1 << (8 * (len - 1))) - 1);
        out.extend_from_slice(&(spread(n) | more).to_le_bytes());
        out.truncate(end);
    }
}

/// The same for a number of nine or ten bytes.
#[inline(never)]
fn put_longest(n: u64, out: &mut Vec<u8>) {
    out.reserve(10);
    out.extend_from_slice(&(spread(n) | MORE).to_le_bytes());
    if n >> 63 == 0 {
        out.push((n >> 56) as u8);
    } else {
        out.extend_from_slice(&[(n >> 56) as u8, 1]);
    }
}

/// The number at the front and its length, or 0 where that cannot be told at once.
///
/// Its paths are those of [`put_long`]. A function of its own, by value: so what takes many numbers stays short enough
/// for the compiler to keep it in one piece and in registers.
#[inline(never)]
fn peek_long(input: &[u8]) -> (u64, usize) {
    let Some((first, rest)) = input.split_first_chunk() else { return (0, 0) };
    let word = u64::from_le_bytes(*first);
    let ends = !word & MORE;
    if ends == 1 << 63 {
        return (gather(word), 8);
    }
    if ends != 0 {
        // The lowest end, and all bits below it.
        return (gather(word & (ends ^ (ends - 1))), ends.trailing_zeros() as usize / 8 + 1);
    }
    let Some(&[ninth, tenth]) = rest.first_chunk() else { return (0, 0) };
    let low = gather(word) | u64::from(ninth & 0x7f) << 56;
    match (ninth, tenth) {
        (0..0x80, _) => (low, 9),
        (_, 0 | 1) => (low | u64::from(tenth) << 63, 10),
        _ => (0, 0),
    }
}

macro_rules! varint {
    ($($int:ident),*) => {$(
        impl Varint for $int {
            #[inline]
            fn put(self, out: &mut Vec<u8>) {
                if self < 0x80 {
                    out.push(self as u8);
                } else {
                    put_long(u64::from(self), out);
                }
            }

            #[inline]
            fn take(input: &mut &[u8]) -> Result<$int, DecodeError> {
                const MAX_LEN: usize = $int::BITS.div_ceil(7) as usize;
                if let Some((&byte, rest)) = input.split_first()
                    && byte < 0x80
                {
                    *input = rest;
                    return Ok($int::from(byte));
                }
                let (number, len) = peek_long(input);
                if let Ok(number) = $int::try_from(number)
                    && (1..=MAX_LEN).contains(&len)
                    && let Some(rest) = input.get(len..)
                {
                    *input = rest;
                    return Ok(number);
                }
                let (number, rest) = take_slowly(input)?;
                *input = rest;
                Ok(number)
            }
        }
    )*};
}

varint!(u16, u32, u64);

impl Varint for u128 {
    #[inline]
    fn put(self, out: &mut Vec<u8>) {
        let mut rest = self;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    #[inline]
    fn take(input: &mut &[u8]) -> Result<u128, DecodeError> {
        let (number, rest) = take_slowly(input)?;
        *input = rest;
        Ok(number)
    }
}

/// Takes a number byte by byte: near the end of the message, or for its error.
#[cold]
fn take_slowly<N: TryFrom<u128>>(input: &[u8]) -> Result<(N, &[u8]), DecodeError> {
    let max_len = (size_of::<N>() * 8).div_ceil(7);
    let mut number: u128 = 0;
    for (at, &byte) in input.iter().take(max_len).enumerate() {
        let shift = 7 * at as u32;
        let group = u128::from(byte & 0x7f);
        if byte >= 0x80 {
            number |= group << shift;
            continue;
        }
        let fits = group << shift >> shift == group;
        let Some(number) = fits.then(|| N::try_from(number | group << shift).ok()).flatten() else { break };
        return Ok((number, &input[at + 1..]));
    }
    Err(refusal(input.iter().take(max_len).any(|byte| *byte < 0x80) || input.len() >= max_len))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte by byte, as the format is described.
    fn plainly(mut rest: u128) -> Vec<u8> {
        let mut out = Vec::new();
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
        out
    }

    fn check<N: Varint + Copy + TryFrom<u128> + PartialEq + std::fmt::Debug>(number: u128) {
        let bytes = plainly(number);
        let Ok(fits) = N::try_from(number) else {
            for tail in 0..12 {
                let input = [bytes.as_slice(), &[0; 12][..tail]].concat();
                assert!(
                    N::take(&mut input.as_slice()).is_err_and(|error| !error.is_truncated()),
                    "{number:#x}"
                );
            }
            return;
        };
        let mut out = vec![7];
        fits.put(&mut out);
        assert_eq!(out[1..], bytes, "{number:#x}");
        // Whatever follows, and however little: neither is read.
        for (tail, fill) in (0..12).flat_map(|tail| [(tail, 0x00), (tail, 0xff)]) {
            let input = [bytes.as_slice(), &[fill; 12][..tail]].concat();
            let mut rest = input.as_slice();
            assert_eq!(N::take(&mut rest).unwrap(), fits, "{number:#x}, {tail} bytes behind it");
            assert_eq!(rest.len(), tail);
        }
        for len in 0..bytes.len() {
            assert!(N::take(&mut &bytes[..len]).is_err_and(|error| error.is_truncated()), "{number:#x}");
        }
    }

    #[test]
    fn numbers_of_every_length_are_those_of_the_format() {
        let mut numbers = vec![0, 0x55, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, u128::MAX];
        for bit in 0..128 {
            let power = 1u128 << bit;
            numbers.extend([power - 1, power, power + 1, power | power >> 3 | 1]);
        }
        for number in numbers {
            check::<u16>(number);
            check::<u32>(number);
            check::<u64>(number);
            check::<u128>(number);
        }
    }

    #[test]
    fn numbers_longer_than_need_be_are_taken_up_to_their_types_length() {
        fn padded(len: usize) -> Vec<u8> {
            let mut bytes = vec![0x80; len - 1];
            bytes[0] |= 5;
            bytes.push(0);
            bytes.extend([9; 9]);
            bytes
        }
        for len in 2..=3 {
            assert_eq!(u16::take(&mut padded(len).as_slice()).unwrap(), 5);
        }
        assert!(u16::take(&mut padded(4).as_slice()).is_err());
        for len in 2..=10 {
            assert_eq!(u64::take(&mut padded(len).as_slice()).unwrap(), 5);
            assert_eq!(u32::take(&mut padded(len).as_slice()).is_ok(), len <= 5);
        }
        assert!(u64::take(&mut padded(11).as_slice()).is_err());
    }
}
