//! The parts from which a type's layout hash is made; used by the derive macro.
//!
//! FNV-1a, because it can run in a constant; it guards against mistakes, not against forgers.

use crate::ShmSafe;
use std::fmt::Write as _;

/// The longest description, in bytes: of a type with more in it not all is told.
pub(crate) const MAX_ABOUT: u64 = 16 << 10;

/// What watchers know of a type: what it is, or what is where inside it.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// It is something with that name, as `"mutex"`.
    Is(&'static str),
    /// What lies at an offset, in a field of that name if it has one.
    Field(&'static str, usize, &'static [Part]),
    /// So many, so far apart.
    Elements(usize, usize, &'static [Part]),
}

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

/// Tells of a type for watchers: a line with its name, and one for each part: what it is, its offset, its path.
pub(crate) fn describe<T: ShmSafe>() -> String {
    let mut text = std::any::type_name::<T>().to_owned();
    text.push('\n');
    list(T::PARTS, 0, &mut String::new(), &mut text);
    text.truncate(text.floor_char_boundary(MAX_ABOUT as usize));
    text
}

fn list(parts: &[Part], base: usize, path: &mut String, text: &mut String) {
    let len = path.len();
    for part in parts {
        // Writing into a string does not fail.
        match *part {
            Part::Is(what) => {
                let _ = writeln!(text, "{what} {base} {path}");
            }
            Part::Field(name, offset, parts) if tells(parts) => {
                let dot = if len > 0 && !name.is_empty() { "." } else { "" };
                let _ = write!(path, "{dot}{name}");
                list(parts, base + offset, path, text);
            }
            Part::Elements(count, stride, parts) if tells(parts) => {
                for index in 0..count {
                    if text.len() as u64 > MAX_ABOUT {
                        break;
                    }
                    let _ = write!(path, "[{index}]");
                    list(parts, base + index * stride, path, text);
                    path.truncate(len);
                }
            }
            Part::Field(..) | Part::Elements(..) => {}
        }
        path.truncate(len);
    }
}

/// Tells whether there is anything to tell: of an array of a million numbers there is not.
fn tells(parts: &[Part]) -> bool {
    parts.iter().any(|part| match part {
        Part::Is(_) => true,
        Part::Field(_, _, parts) | Part::Elements(_, _, parts) => tells(parts),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShmSafe;

    #[derive(ShmSafe)]
    #[repr(C)]
    struct Numbers([u64; 1 << 20]);

    const LAMP: &[Part] = &[Part::Is("lamp")];

    #[test]
    fn parts_are_listed_with_their_places() {
        let mut text = String::new();
        let room: &'static [Part] = &[Part::Field("lamps", 16, &[Part::Elements(2, 4, LAMP)])];
        let house = [Part::Is("house"), Part::Field("", 8, LAMP), Part::Field("room", 100, room)];
        list(&house, 0, &mut String::new(), &mut text);
        assert_eq!(text, "house 0 \nlamp 8 \nlamp 116 room.lamps[0]\nlamp 120 room.lamps[1]\n");
    }

    #[test]
    fn of_much_not_all_is_told() {
        let mut text = String::new();
        list(&[Part::Elements(usize::MAX, 4, LAMP)], 0, &mut String::new(), &mut text);
        assert!((MAX_ABOUT..MAX_ABOUT + 100).contains(&(text.len() as u64)));
        let about = describe::<Numbers>();
        assert!(about.ends_with("Numbers\n"), "{about}");
    }
}
