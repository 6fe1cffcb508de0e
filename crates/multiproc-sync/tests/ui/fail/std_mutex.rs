use multiproc_shm::Shared;

fn main() {
    let _ = Shared::new(std::sync::Mutex::new(0u32));
}
