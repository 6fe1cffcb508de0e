//! The main executable as it lies in memory: where it begins, where its code is, which build it is.
//!
//! # Safety
//!
//! Unsafe is needed to read the program headers and notes that the kernel mapped for us. The kernel passes their
//! address in the auxiliary vector, they belong to the main executable, which is never unmapped, and every read
//! stays within the lengths that the headers themselves give, inside segments that are mapped for reading.
#![expect(unsafe_code, reason = "reads the program headers of the running executable")]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io, slice};

/// Which build an executable is: its linker build id, else a hash of its code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BuildId(Vec<u8>);

impl BuildId {
    /// The bytes that name the build.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Display for BuildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The main executable of this process.
#[derive(Debug)]
pub struct Image {
    base: usize,
    text: Vec<Range<usize>>,
    notes: Vec<Range<usize>>,
    build: OnceLock<BuildId>,
}

/// The main executable of this process.
///
/// # Errors
///
/// The kernel gave no program headers, or none that makes sense.
pub fn image() -> io::Result<&'static Image> {
    static IMAGE: OnceLock<Option<Image>> = OnceLock::new();
    IMAGE.get_or_init(Image::read).as_ref().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "this system does not tell where the executable lies in memory",
        )
    })
}

impl Image {
    fn read() -> Option<Image> {
        // SAFETY: getauxval has no conditions.
        let address = unsafe { libc::getauxval(libc::AT_PHDR) } as usize;
        // SAFETY: as above.
        let count = unsafe { libc::getauxval(libc::AT_PHNUM) } as usize;
        if address == 0 || count == 0 || count > 4096 {
            return None;
        }
        // SAFETY:
        // - AT_PHDR and AT_PHNUM describe the program headers of the main executable, which the kernel mapped;
        // - they are aligned as ELF demands, initialised, and neither written nor unmapped while the process lives.
        let headers = unsafe { slice::from_raw_parts(address as *const libc::Elf64_Phdr, count) };

        let base = base_of(headers, address)?;
        let range = |header: &libc::Elf64_Phdr| {
            let start = base.checked_add(header.p_vaddr as usize)?;
            Some(start..start.checked_add(header.p_memsz as usize)?)
        };
        let text = headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0)
            .map(range)
            .collect::<Option<Vec<_>>>()?;
        let notes = headers
            .iter()
            .filter(|header| header.p_type == libc::PT_NOTE)
            .map(range)
            .collect::<Option<Vec<_>>>()?;
        Some(Image { base, text, notes, build: OnceLock::new() })
    }

    /// Tells whether `address` lies in the executable's code.
    pub fn contains(&self, address: usize) -> bool {
        self.text.iter().any(|range| range.contains(&address))
    }

    /// How far into the executable the code at `address` is, `None` where it is not this executable's.
    pub fn offset_of(&self, address: usize) -> Option<u64> {
        self.contains(address).then(|| (address - self.base) as u64)
    }

    /// The address of the code that is `offset` into the executable, `None` where there is no code.
    pub fn address_of(&self, offset: u64) -> Option<usize> {
        let address = self.base.checked_add(usize::try_from(offset).ok()?)?;
        self.contains(address).then_some(address)
    }

    /// Which build this is.
    pub fn build_id(&self) -> &BuildId {
        self.build.get_or_init(|| {
            let noted = self.notes.iter().find_map(|range| build_id_in_notes(mapped(range)));
            noted.unwrap_or_else(|| {
                let mut hash = Hash::new();
                self.text.iter().for_each(|range| hash.update(mapped(range)));
                hash.finish()
            })
        })
    }
}

/// How far an executable was moved whose program headers lie at `address`.
fn base_of(headers: &[libc::Elf64_Phdr], address: usize) -> Option<usize> {
    /// Where linkers put the headers in the file: behind the file's own.
    const OFFSET: u64 = size_of::<libc::Elf64_Ehdr>() as u64;
    const PAGE: usize = 4096;
    let of_kind = |kind| headers.iter().filter(move |header| header.p_type == kind);
    // The headers' own header tells where they wanted to be.
    if let Some(own) = of_kind(libc::PT_PHDR).next() {
        return address.checked_sub(usize::try_from(own.p_vaddr).ok()?);
    }
    // Without one they are at the beginning of the file, wherever that was mapped.
    let first = of_kind(libc::PT_LOAD).find(|load| load.p_offset == 0 && load.p_filesz > OFFSET)?;
    let wanted = first.p_vaddr.checked_add(OFFSET)?;
    address.checked_sub(usize::try_from(wanted).ok()?).filter(|base| base.is_multiple_of(PAGE))
}

fn mapped(range: &Range<usize>) -> &'static [u8] {
    // SAFETY:
    // - callers pass ranges of the executable's notes and code, which the kernel mapped readable
    //   (execute-only code is not used on x86-64 and aarch64);
    // - nothing writes or unmaps them while the process lives.
    unsafe { slice::from_raw_parts(range.start as *const u8, range.len()) }
}

/// Finds the GNU build id among ELF notes: {name length, description length, type, name, description}, each padded to 4.
fn build_id_in_notes(mut notes: &[u8]) -> Option<BuildId> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let word = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    loop {
        let (name_len, len, kind) = (word(notes, 0)? as usize, word(notes, 4)? as usize, word(notes, 8)?);
        let name = notes.get(12..12usize.checked_add(name_len)?)?;
        let start = 12 + name_len.checked_next_multiple_of(4)?;
        let description = notes.get(start..start.checked_add(len)?)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" && !description.is_empty() {
            return Some(BuildId(description.to_vec()));
        }
        notes = notes.get(start + len.checked_next_multiple_of(4)?..)?;
    }
}

/// Which build the executable file at `path` is.
///
/// # Errors
///
/// The file cannot be read, or is no 64-bit ELF executable.
pub fn build_id_of_file(path: &Path) -> io::Result<BuildId> {
    let bytes = fs::read(path)?;
    read_build_id(&bytes).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is no executable of this system: name the program's own file", path.display()),
        )
    })
}

fn read_build_id(file: &[u8]) -> Option<BuildId> {
    let half = |at: usize| Some(u16::from_ne_bytes(file.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(file.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let long = |at: usize| {
        usize::try_from(u64::from_ne_bytes(file.get(at..at.checked_add(8)?)?.try_into().ok()?)).ok()
    };
    const ELF64: u8 = 2;
    if file.get(..4)? != b"\x7fELF" || *file.get(4)? != ELF64 {
        return None;
    }
    // Elf64_Ehdr: e_phoff at 32, e_phentsize at 54, e_phnum at 56.
    let (table, size, count) = (long(32)?, half(54)? as usize, half(56)? as usize);
    let mut hash = Hash::new();
    for index in 0..count {
        // Elf64_Phdr: p_type at 0, p_flags at 4, p_offset at 8, p_filesz at 32.
        let at = table.checked_add(index * size)?;
        let (kind, flags, start, len) =
            (word(at)?, word(at + 4)?, long(at.checked_add(8)?)?, long(at.checked_add(32)?)?);
        let content = || file.get(start..start.checked_add(len)?);
        if kind == libc::PT_NOTE
            && let Some(id) = content().and_then(build_id_in_notes)
        {
            return Some(id);
        }
        if kind == libc::PT_LOAD && flags & libc::PF_X != 0 {
            hash.update(content()?);
        }
    }
    Some(hash.finish())
}

/// FNV-1a over 8 bytes at a time, in two lanes: an identity, not a defence.
struct Hash(u64, u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325, 0x9e37_79b9_7f4a_7c15)
    }

    fn update(&mut self, bytes: &[u8]) {
        const PRIME: u64 = 0x100_0000_01b3;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let word = u64::from_le_bytes(word);
            self.0 = (self.0 ^ word).wrapping_mul(PRIME);
            self.1 = (self.1 ^ word.rotate_left(29)).wrapping_mul(PRIME).rotate_left(17);
        }
    }

    fn finish(self) -> BuildId {
        let mut id = b"code".to_vec();
        id.extend(self.0.to_le_bytes());
        id.extend(self.1.to_le_bytes());
        BuildId(id)
    }
}

/// The path by which this process' own executable can be started again, also after it was replaced or deleted.
pub fn own_executable() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// Tells whether [`own_executable`] is the file that the code at `address` was mapped from.
///
/// It is not where the program was started through the dynamic loader or runs under an emulator: there the link
/// leads to the loader or the emulator.
///
/// # Errors
///
/// There is no `/proc` here.
pub fn own_executable_holds(address: usize) -> io::Result<bool> {
    let told = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("this program cannot find its own file in /proc, which must be mounted here: {error}"),
        )
    };
    let link = fs::metadata("/proc/self/exe").map_err(told)?;
    let maps = fs::read_to_string("/proc/self/maps").map_err(told)?;
    for line in maps.lines() {
        // start-end perms offset major:minor inode path
        let mut fields = line.split_ascii_whitespace();
        let Some((start, end)) = fields.next().and_then(|range| range.split_once('-')) else { continue };
        let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16)) else {
            continue;
        };
        if (start..end).contains(&address) {
            use std::os::unix::fs::MetadataExt;
            let inode = fields.nth(3).and_then(|inode| inode.parse().ok());
            // Layered file systems show one number here and another there.
            return Ok(inode == Some(link.ino()) || is_own_build(&own_executable()));
        }
    }
    Ok(false)
}

fn is_own_build(path: &Path) -> bool {
    match (build_id_of_file(path), image()) {
        (Ok(theirs), Ok(image)) => theirs == *image.build_id(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_lead_back() {
        let image = image().unwrap();
        let here = offsets_lead_back as *const () as usize;
        assert_eq!(image.address_of(image.offset_of(here).unwrap()), Some(here));
        let elsewhere = libc::getpid as *const () as usize;
        assert!(image.offset_of(elsewhere).is_none() || cfg!(target_feature = "crt-static"));
        assert!(image.address_of(u64::MAX).is_none());
        assert!(own_executable_holds(here).unwrap());
    }

    #[test]
    fn the_base_is_found_with_and_without_a_header_of_headers() {
        // SAFETY: plain data for which zero is a value.
        let nothing: libc::Elf64_Phdr = unsafe { std::mem::zeroed() };
        let header = |p_type, p_offset, p_vaddr, p_filesz| libc::Elf64_Phdr {
            p_type,
            p_offset,
            p_vaddr,
            p_filesz,
            ..nothing
        };
        let own = header(libc::PT_PHDR, 64, 64, 560);
        let (first, code) =
            (header(libc::PT_LOAD, 0, 0, 0x800), header(libc::PT_LOAD, 0x1000, 0x2000, 0x1000));
        let moved = 0x5555_0000_0000;
        assert_eq!(base_of(&[own, first, code], moved + 64), Some(moved));
        assert_eq!(base_of(&[code, first], moved + 64), Some(moved));
        // One that was linked for its place is not moved.
        let fixed = header(libc::PT_LOAD, 0, 0x40_0000, 0x800);
        assert_eq!(base_of(&[fixed, code], 0x40_0040), Some(0));
        // Where they are elsewhere, better nothing than a guess.
        assert_eq!(base_of(&[first, code], moved + 128), None);
        assert_eq!(base_of(&[code], moved + 64), None);
        assert_eq!(base_of(&[own, first], 10), None);
    }

    #[test]
    fn memory_and_file_agree_on_the_build() {
        assert_eq!(image().unwrap().build_id(), &build_id_of_file(&own_executable()).unwrap());
        assert!(build_id_of_file(Path::new("/dev/null")).is_err());
        assert!(is_own_build(&own_executable()) && !is_own_build(Path::new("/dev/null")));
    }

    #[test]
    fn truncated_files_and_notes_are_no_builds() {
        let file = fs::read(own_executable()).unwrap();
        for len in 0..64 {
            assert_eq!(read_build_id(&file[..len]), None, "{len} bytes");
        }
        let mut notes = Vec::new();
        for word in [4u32, u32::MAX, 3] {
            notes.extend(word.to_ne_bytes());
        }
        notes.extend(b"GNU\0");
        assert_eq!(build_id_in_notes(&notes), None);
    }
}
