//! Copies a folder by a pool of three, and tells how far it is.
//!
//! Python: `apply_async` for each file, and a `Manager().Queue()` for the names of those that are done. Here a plain queue
//! does; or none, since the results of tasks can be taken as they come. (`copy_tree` copies folders in earnest.)
//!
//! ```text
//! cargo run --release --example folder_copier [-- --better | --manager]
//! ```
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example prints; a task tells by its panic")]

use multiproc::{Manager, Pool, Queue, QueueProxy};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::{env, iter};

type Outcome = Result<(), Box<dyn Error>>;

/// The size of the recipe's blocks.
const BLOCK: usize = 1024;

/// Copies one file, by blocks.
fn copy(name: &str, source: &Path, dest: &Path) -> io::Result<()> {
    let mut from = File::open(source.join(name))?;
    let mut to = File::create(dest.join(name))?;
    let mut block = [0; BLOCK];
    loop {
        match from.read(&mut block)? {
            0 => return Ok(()),
            len => to.write_all(&block[..len])?,
        }
    }
}

fn tell(done: usize, all: usize) {
    println!("copied {:6.2} %", done as f64 * 100.0 / all as f64);
}

/// 43: a task for each file; a queue brings the names of those that are copied.
fn by_queue(source: &Path, dest: &Path, names: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let queue = Queue::unbounded()?;
    let pool = Pool::new(3)?;
    let mut results = Vec::new();
    for name in names {
        let args = (queue.clone(), name.clone(), source.to_owned(), dest.to_owned());
        results.push(pool.apply_async(args, |(queue, name, source, dest): (_, String, PathBuf, PathBuf)| {
            copy(&name, &source, &dest).unwrap();
            Queue::put(&queue, name).unwrap();
        }));
    }
    pool.close();
    let mut done = Vec::new();
    while done.len() < names.len() {
        done.push(queue.get()?);
        tell(done.len(), names.len());
    }
    results.into_iter().try_for_each(|result| result.get())?;
    Ok(done)
}

/// The same with a manager's queue.
fn by_manager(source: &Path, dest: &Path, names: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let manager = Manager::start()?;
    let queue = manager.queue(100)?;
    let pool = Pool::new(3)?;
    let jobs: Vec<_> =
        names.iter().map(|name| (queue.clone(), name.clone(), source.to_owned(), dest.to_owned())).collect();
    let result = pool.map_async(
        jobs,
        |(queue, name, source, dest): (QueueProxy<String>, String, PathBuf, PathBuf)| {
            copy(&name, &source, &dest).unwrap();
            queue.put(name).unwrap();
        },
    );
    let mut done = Vec::new();
    while done.len() < names.len() {
        done.push(queue.get()?);
        tell(done.len(), names.len());
    }
    result.get()?;
    Ok(done)
}

/// Better: no queue. Results come as they are ready, and a file that cannot be copied is an error with its reason. (In
/// Python it is a program that waits for ever for the name that does not come.)
fn by_results(source: &Path, dest: &Path, names: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let pool = Pool::new(3)?;
    let jobs = names.iter().map(|name| (name.clone(), source.to_owned(), dest.to_owned()));
    let copied = pool.imap_unordered(jobs, |(name, source, dest)| match copy(&name, &source, &dest) {
        Ok(()) => Ok(name),
        Err(error) => Err(format!("{name}: {error}")),
    });
    let mut done = Vec::new();
    for name in copied {
        done.push(name??);
        tell(done.len(), names.len());
    }
    Ok(done)
}

/// Twelve files of 0 to 4,499 bytes, also a multiple of the block.
fn make(source: &Path) -> io::Result<Vec<String>> {
    fs::create_dir(source)?;
    let sizes = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK].into_iter().chain((6..12).map(|n| n * 409));
    let mut names = Vec::new();
    for (number, size) in sizes.enumerate() {
        let name = format!("file{number:02}.bin");
        // Some bytes or other, those of a simple generator.
        let bytes = iter::successors(Some(number as u32), |n| {
            Some(n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
        });
        let bytes: Vec<u8> = bytes.skip(1).map(|n| n.to_be_bytes()[0]).take(size).collect();
        fs::write(source.join(&name), bytes)?;
        names.push(name);
    }
    Ok(names)
}

fn main() -> Outcome {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("source");
    let names = make(&source)?;
    let dest = folder.path().join("source[副本]");
    fs::create_dir(&dest)?;
    let done = match env::args().nth(1).as_deref() {
        None => by_queue(&source, &dest, &names)?,
        Some("--manager") => by_manager(&source, &dest, &names)?,
        Some("--better") => by_results(&source, &dest, &names)?,
        Some(_) => return Err("say nothing, or --manager, or --better".into()),
    };
    let each_once =
        done.len() == names.len() && done.iter().collect::<BTreeSet<_>>() == names.iter().collect();
    let differs = |name: &&String| fs::read(source.join(name)).unwrap() != fs::read(dest.join(name)).unwrap();
    let mismatch: Vec<_> = names.iter().filter(differs).collect();
    let in_python = |yes| if yes { "True" } else { "False" };
    println!("check: each name once: {} mismatch: {mismatch:?} errors: []", in_python(each_once));
    let there = fs::read_dir(&dest)?.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let same = there.collect::<BTreeSet<_>>() == names.into_iter().collect();
    println!("check: same names: {}", in_python(same));
    Ok(())
}
