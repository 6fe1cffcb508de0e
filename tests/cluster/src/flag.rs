use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A counter in a file, which tasks on all hosts of a test can see: as many as the file has bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flag(PathBuf);

impl Flag {
    /// Makes a counter in a folder, at 0.
    pub fn new(folder: &TempDir, name: &str) -> Flag {
        Flag::at(folder.path().join(name))
    }

    /// Adds one; tells how many there were before.
    pub fn raise(&self) -> u32 {
        let mut file = OpenOptions::new().append(true).open(&self.0).unwrap();
        file.write_all(b"x").unwrap();
        // An append leaves the position behind its own byte, whoever else appends.
        file.stream_position().unwrap() as u32 - 1
    }

    /// What counters of one test are called.
    pub fn at(path: PathBuf) -> Flag {
        fs::write(&path, "").unwrap();
        Flag(path)
    }

    /// How often it was raised.
    pub fn count(&self) -> u32 {
        fs::metadata(&self.0).unwrap().len() as u32
    }

    /// Waits until it was raised so often.
    pub fn wait_for(&self, times: u32) {
        while self.count() < times {
            // tidy: sleep because a file tells nobody that it has grown
            thread::sleep(Duration::from_millis(1));
        }
    }
}
