use std::thread;

/// Runs a function on so many threads at once, each with its number, and gives what they return, in their order.
///
/// Each thread is joined by itself: that is a call that ThreadSanitizer knows. What a scope does at its end it does
/// not see.
///
/// # Panics
///
/// One of them panicked.
///
/// # Examples
///
/// ```
/// assert_eq!(multiproc_threads::together(3, |number| number * 2), [0, 2, 4]);
/// ```
pub fn together<R: Send>(threads: usize, f: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let f = &f;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || f(number))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
