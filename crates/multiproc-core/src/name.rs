use std::fmt;

/// The longest name in bytes: the file system's 255, less room for the prefix that a kind of object may add.
const MAX_LEN: usize = 240;

/// A checked name of a shared object: a single path component of 1 to 240 bytes.
///
/// ```
/// use multiproc_core::Name;
///
/// assert_eq!(Name::new("gate").unwrap().as_str(), "gate");
/// assert!(Name::new("").unwrap_err().to_string().contains("empty"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// A name that is empty, longer than 240 bytes, `.` or `..`, or that holds a NUL or a `/`.
    pub fn new(name: &str) -> Result<Name, NameError> {
        let problem = if name.is_empty() {
            Some(Problem::Empty)
        } else if name.len() > MAX_LEN {
            Some(Problem::TooLong(name.len()))
        } else if name.contains('\0') {
            Some(Problem::Nul)
        } else if name.contains('/') {
            Some(Problem::Slash)
        } else if name == "." || name == ".." {
            Some(Problem::Dots)
        } else {
            None
        };
        match problem {
            None => Ok(Name(name.to_owned())),
            Some(problem) => Err(NameError { shown: name.chars().take(40).collect(), problem }),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that no shared object can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name {shown:?} {problem}")]
pub struct NameError {
    shown: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("is empty: give it at least one character")]
    Empty,
    #[error("has {0} bytes: use at most {MAX_LEN}")]
    TooLong(usize),
    #[error("holds a NUL byte: leave it out")]
    Nul,
    #[error("holds a slash: names are flat, use another separator")]
    Slash,
    #[error("means a directory: choose another")]
    Dots,
}

impl From<NameError> for std::io::Error {
    fn from(error: NameError) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, error)
    }
}
