//! How a watcher knows the processes that were started by this library. An implementation detail.

/// What the marker of every version begins with.
const MARKER: &[u8] = b"MULTIPROC_BOOT_";

/// Tells by the environment that a process began with, as `/proc/PID/environ` has it, whether it is such a child.
///
/// The marker is taken out of the environment at once, but the kernel shows the bytes that it was given.
#[must_use]
pub fn is_child(environment: &[u8]) -> bool {
    environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(MARKER))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_marker_is_known() {
        let environment = format!("PATH=/bin\0{}\0", crate::hook::marker());
        assert!(super::is_child(environment.as_bytes()));
        assert!(!super::is_child(b"PATH=/bin\0A=MULTIPROC_BOOT_1=3\0"));
    }
}
