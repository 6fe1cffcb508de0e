use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write;
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
        let path = folder.path().join(name);
        fs::write(&path, "").unwrap();
        Flag(path)
    }

    /// Adds one.
    pub fn raise(&self) {
        OpenOptions::new().append(true).open(&self.0).unwrap().write_all(b"x").unwrap();
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
