//! The first bytes of every segment that has a header.
//!
//! ```text
//! offset  bytes  what                          written
//!      0      8  magic, "mproc\0\r\n"           once, by the creator, before anybody else can see the segment
//!      8      4  version of this layout         "
//!     12      4  kind of object                 "
//!     16      8  fingerprint of the type        "
//!     24      8  length of the payload          "
//!     32      8  offset of the payload          "
//!     40      8  ids of the PID and time        "
//!                namespaces
//!     48      8  length of the description      "
//!     56      8  zero                           "
//!     64         payload, at the next multiple of its alignment
//!                description of the type, behind the payload, for watchers alone
//! ```
//!
//! It is read once, when a process attaches, into a copy of its own; nobody looks at it again.

use crate::{ShmSafe, kind, layout};
use multiproc_core::sys::memory::{read_exact_at, write_all_at};
use std::io;
use std::mem::offset_of;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const MAGIC: u64 = u64::from_le_bytes(*b"mproc\0\r\n");
const VERSION: u32 = 3;

/// The payload's largest alignment: mappings begin at page boundaries.
const MAX_ALIGN: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Header {
    magic: u64,
    version: u32,
    pub(crate) kind: u32,
    pub(crate) fingerprint: u64,
    pub(crate) len: u64,
    pub(crate) offset: u64,
    namespace: u64,
    pub(crate) about: u64,
    reserved: u64,
}

const _: () = {
    assert!(size_of::<Header>() == 64);
    assert!(offset_of!(Header, version) == 8);
    assert!(offset_of!(Header, kind) == 12);
    assert!(offset_of!(Header, fingerprint) == 16);
    assert!(offset_of!(Header, len) == 24);
    assert!(offset_of!(Header, offset) == 32);
    assert!(offset_of!(Header, namespace) == 40);
    assert!(offset_of!(Header, about) == 48);
};

/// How a segment's header differs from the one that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("does not begin as a shared object does: something else wrote it, make another")]
    Magic,
    #[error("was made by another version of this library (layout {found}, here {VERSION}): use one version")]
    Version { found: u32 },
    #[error("holds another type, or the same one built differently: open it as what it was created")]
    Type,
    #[error(
        "was made in another PID or time namespace, whose process numbers and moments mean nothing here: share it within one"
    )]
    Namespace,
    #[error("has a length that contradicts its header: it was cut or overwritten, make another")]
    Length,
    #[error(
        "has holes, which there may be no memory for: it was cut and grew again, or something else made it; make another"
    )]
    Holes,
}

impl Header {
    /// The header of a segment that holds one `T`.
    pub(crate) fn of<T: ShmSafe>(kind: u32) -> Header {
        Header::new::<T>(kind, layout::finish::<T>(T::LAYOUT), size_of::<T>() as u64)
    }

    /// The header of a segment that holds `len` bytes of elements of type `T`.
    ///
    /// Such a segment is never named, so the name that this build has for the type will do.
    pub(crate) fn of_elements<T>(kind: u32, len: u64) -> Header {
        Header::new::<T>(kind, layout::leaf::<T>(std::any::type_name::<T>()), len)
    }

    /// The header of a segment that begins with `len` bytes of control words and grows behind them.
    pub(crate) fn growing(fingerprint: u64, len: u64) -> Header {
        Header { fingerprint, ..Header::new::<u64>(kind::ARENA, 0, len) }
    }

    /// Where a payload of `T`s begins.
    pub(crate) const fn offset_of_payload<T>() -> usize {
        const { assert!(align_of::<T>() <= MAX_ALIGN, "shared memory is aligned to 4096 bytes at most") };
        size_of::<Header>().next_multiple_of(align_of::<T>())
    }

    /// The same, where a description of that length stands behind the payload.
    pub(crate) fn with_about(self, len: usize) -> Header {
        Header { about: len as u64, ..self }
    }

    /// Where the payload ends and that description begins.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    fn new<T>(kind: u32, fingerprint: u64, len: u64) -> Header {
        Header {
            magic: MAGIC,
            version: VERSION,
            kind,
            fingerprint,
            len,
            offset: Header::offset_of_payload::<T>() as u64,
            namespace: namespaces(),
            about: 0,
            reserved: 0,
        }
    }

    /// The length of the whole segment.
    pub(crate) fn total(&self) -> u64 {
        self.end().saturating_add(self.about)
    }

    pub(crate) fn write_to(&self, file: impl AsFd) -> io::Result<()> {
        write_all_at(file, self.as_bytes(), 0)
    }

    /// Reads a segment's header once and compares that copy with `self`.
    ///
    /// `len` is the file's length as the kernel says it.
    pub(crate) fn check(&self, file: impl AsFd, len: u64) -> io::Result<Result<(), Mismatch>> {
        // What grows is at least as long as its beginning.
        let len = if self.kind == kind::ARENA { len.min(self.total()) } else { len };
        let mut bytes = [0; size_of::<Header>()];
        if len < bytes.len() as u64 {
            return Ok(Err(Mismatch::Magic));
        }
        read_exact_at(file, &mut bytes, 0)?;
        let found: Header = zerocopy::transmute!(bytes);
        Ok(self.compare(&found, len))
    }

    fn compare(&self, found: &Header, len: u64) -> Result<(), Mismatch> {
        if found.magic != MAGIC {
            return Err(Mismatch::Magic);
        }
        if found.version != VERSION {
            return Err(Mismatch::Version { found: found.version });
        }
        if (found.kind, found.fingerprint) != (self.kind, self.fingerprint) {
            return Err(Mismatch::Type);
        }
        if found.namespace != self.namespace {
            return Err(Mismatch::Namespace);
        }
        // With the same type these can differ only by damage.
        if (found.len, found.offset, found.reserved) != (self.len, self.offset, self.reserved)
            || found.about > layout::MAX_ABOUT
            || len != found.total()
        {
            return Err(Mismatch::Length);
        }
        Ok(())
    }
}

impl Header {
    /// Reads what a segment begins with, for a watcher; nothing if that is no header.
    pub(crate) fn read(file: impl AsFd) -> io::Result<Option<Header>> {
        let mut bytes = [0; size_of::<Header>()];
        match read_exact_at(file, &mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let found: Header = zerocopy::transmute!(bytes);
        Ok((found.magic == MAGIC).then_some(found))
    }

    pub(crate) fn is_of_this_version(&self) -> bool {
        self.version == VERSION
    }

    pub(crate) fn is_of_this_namespace(&self) -> bool {
        self.namespace == namespaces()
    }
}

/// The numbers of this process's PID namespace, in the lower half, and of its time namespace, by which `/proc` tells when
/// a process started; each is 0 where `/proc` does not tell.
fn namespaces() -> u64 {
    let number = |path| std::fs::metadata(path).map_or(0, |namespace| namespace.ino());
    // The kernel numbers them by 32 bits.
    number("/proc/self/ns/pid") & u64::from(u32::MAX) | number("/proc/self/ns/time") << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_compared() {
        let good = Header::of::<[u64; 4]>(7);
        let len = good.total();
        assert_eq!(good.compare(&good, len), Ok(()));
        let differs = |change: fn(&mut Header)| {
            let mut other = good;
            change(&mut other);
            good.compare(&other, len).unwrap_err()
        };
        assert_eq!(differs(|h| h.magic ^= 1), Mismatch::Magic);
        assert_eq!(differs(|h| h.version += 1), Mismatch::Version { found: 4 });
        assert_eq!(differs(|h| h.kind += 1), Mismatch::Type);
        assert_eq!(differs(|h| h.fingerprint ^= 1), Mismatch::Type);
        assert_eq!(differs(|h| h.namespace ^= 1), Mismatch::Namespace);
        assert_eq!(differs(|h| h.len = u64::MAX), Mismatch::Length);
        assert_eq!(differs(|h| h.offset = u64::MAX), Mismatch::Length);
        assert_eq!(differs(|h| h.reserved = 1), Mismatch::Length);
        assert_eq!(differs(|h| h.about = 1), Mismatch::Length);
        assert_eq!(differs(|h| h.about = u64::MAX), Mismatch::Length);
        assert_eq!(good.compare(&good, len - 1), Err(Mismatch::Length));
        // What is said about the type is no part of what it must be.
        let told = good.with_about(40);
        assert_eq!(good.compare(&told, told.total()), Ok(()));
        let long = good.with_about(layout::MAX_ABOUT as usize + 1);
        assert_eq!(good.compare(&long, long.total()), Err(Mismatch::Length));
    }

    #[test]
    fn the_payload_is_aligned() {
        assert_eq!(Header::of::<u8>(0).offset, 64);
        #[derive(ShmSafe)]
        #[repr(C, align(4096))]
        struct Page([u8; 4096]);
        assert_eq!(Header::of::<Page>(0).offset, 4096);
        let _ = Page([0; 4096]).0;
    }

    #[test]
    fn as_it_is_drawn() {
        let page = include_str!("../../../ARCHITECTURE.md");
        let part = page.split("\n### ").find(|part| part.starts_with("A segment")).unwrap();
        let drawn = [
            (offset_of!(Header, magic), 8, "magic"),
            (offset_of!(Header, version), 4, "version"),
            (offset_of!(Header, kind), 4, "kind"),
            (offset_of!(Header, fingerprint), 8, "fingerprint"),
            (offset_of!(Header, len), 8, "len"),
            (offset_of!(Header, offset), 8, "offset"),
            (offset_of!(Header, namespace), 8, "namespace"),
            (offset_of!(Header, about), 8, "about"),
            (offset_of!(Header, reserved), 8, "reserved"),
        ];
        for (offset, bytes, what) in drawn {
            let line = format!("\n{offset:>7} {bytes:>6}  {what}\n");
            assert!(part.contains(&line), "ARCHITECTURE.md does not draw {line:?}");
        }
        let part = page.split("\n### ").find(|part| part.starts_with("The memory of a queue")).unwrap();
        let drawn = [
            0,
            crate::arena::NUMBERS as usize,
            crate::arena::CONTROL,
            crate::arena::ABOUT,
            crate::arena::BEGIN as usize,
        ];
        for offset in drawn {
            assert!(part.contains(&format!("\n{offset:>7} ")), "ARCHITECTURE.md does not draw {offset}");
        }
    }
}
