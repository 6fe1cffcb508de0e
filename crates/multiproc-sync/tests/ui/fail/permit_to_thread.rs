use multiproc_sync::Semaphore;

fn main() {
    let gate = Semaphore::new(1);
    let permit = gate.acquire();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(permit));
    });
}
