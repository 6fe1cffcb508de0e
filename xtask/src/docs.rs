//! `cargo xtask docs`: the documentation, with every warning an error.

use crate::shell::{Result, cargo, run};

/// Runs the command.
pub(crate) fn command() -> Result {
    // Private items too: a link that broke inside a crate misleads its next maintainer.
    let mut doc = cargo(&["doc", "--workspace", "--all-features", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    run(doc)
}
