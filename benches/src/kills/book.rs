use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file in which those who may be killed note what they did, in any language and without a lock.
///
/// ```text
/// word 0         producers are to end, and consumers when nothing comes
/// word 1, 2      what is counted behind the lock, one after the other
/// word 3         all may begin
/// word 16 + w    how much worker w has done
/// word 32 + w    worker w has ended by itself
/// from 4096      a byte for each message: how often consumer c has taken number n of producer p, at
///                (P c + p) 65536 + n, where there are P producers, and 4 / P consumers
/// ```
///
/// Words are of 64 bits, little endian.
#[derive(Debug)]
pub(super) struct Book {
    file: File,
    /// To be removed by who has made it.
    made: Option<PathBuf>,
}

pub(super) const STOP: u64 = 0;
pub(super) const FIRST: u64 = 1;
pub(super) const SECOND: u64 = 2;
pub(super) const GO: u64 = 3;
pub(super) const PROGRESS: u64 = 16;
pub(super) const DONE: u64 = 32;
const TABLE: u64 = 4096;
/// How many messages a producer has.
pub(super) const MOST: u64 = 65536;

impl Book {
    pub(super) fn create(path: PathBuf) -> io::Result<Book> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        file.set_len(TABLE + 4 * MOST)?;
        Ok(Book { file, made: Some(path) })
    }

    pub(super) fn open(path: &Path) -> io::Result<Book> {
        Ok(Book { file: OpenOptions::new().read(true).write(true).open(path)?, made: None })
    }

    pub(super) fn word(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 8 * at)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn note(&self, at: u64, value: u64) -> io::Result<()> {
        self.file.write_all_at(&value.to_le_bytes(), 8 * at)
    }

    /// Notes that a consumer of messages from so many producers has taken one.
    pub(super) fn took(
        &self,
        producers: u64,
        consumer: u64,
        (producer, number): (u64, u64),
    ) -> io::Result<()> {
        let at = TABLE + (consumer * producers + producer) * MOST + number;
        let mut times = [0];
        self.file.read_exact_at(&mut times, at)?;
        times[0] += 1;
        self.file.write_all_at(&times, at)
    }

    /// How many of the first messages of one of so many producers nobody has taken, and how many were taken twice.
    pub(super) fn taken(&self, producers: u64, producer: u64, first: u64) -> io::Result<(u64, u64)> {
        let mut times = vec![0; MOST as usize];
        for consumer in 0..4 / producers {
            let mut by = vec![0; MOST as usize];
            self.file.read_exact_at(&mut by, TABLE + (consumer * producers + producer) * MOST)?;
            times.iter_mut().zip(by).for_each(|(sum, one)| *sum += one);
        }
        let lost = times.iter().take(first as usize).filter(|times| **times == 0).count();
        Ok((lost as u64, times.iter().filter(|times| **times > 1).count() as u64))
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            // What is left of it is a file that says whose it was.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_took_and_what_two_took_is_found() {
        let path = std::env::temp_dir().join(format!("multiproc-bench-book-{}", std::process::id()));
        let book = Book::create(path.clone()).unwrap();
        for number in [0, 1, 3] {
            book.took(2, 0, (1, number)).unwrap();
        }
        book.took(2, 1, (1, 3)).unwrap();
        assert_eq!(book.taken(2, 1, 4).unwrap(), (1, 1));
        assert_eq!(book.taken(2, 0, 2).unwrap(), (2, 0));
        book.took(3, 0, (2, 0)).unwrap();
        assert_eq!(book.taken(3, 2, 2).unwrap(), (1, 0));
        book.note(GO, 7).unwrap();
        assert_eq!(Book::open(&path).unwrap().word(GO).unwrap(), 7);
        drop(book);
        assert!(!path.exists());
    }
}
