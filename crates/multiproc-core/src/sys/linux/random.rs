//! Random bytes that nobody can guess.

use rustix::rand::GetRandomFlags;
use std::io;

/// Fills `buf` from the kernel's generator, which waits only while the machine is booting.
///
/// # Errors
///
/// The system's: a filter forbids the call.
pub fn fill_random(buf: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        let rest = &mut buf[filled..];
        filled += rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut *rest, GetRandomFlags::empty()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_fills_are_alike() {
        let (mut a, mut b) = ([0; 1000], [0; 1000]);
        fill_random(&mut a).unwrap();
        fill_random(&mut b).unwrap();
        assert_ne!(a, b);
        assert!(a[900..].iter().any(|byte| *byte != 0), "filled to its end");
    }
}
