use multiproc_sync::Mutex;

fn main() {
    let mutex = Mutex::new(0u32);
    let guard = mutex.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(guard));
    });
}
