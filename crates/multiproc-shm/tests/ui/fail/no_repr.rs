use multiproc_shm::ShmSafe;

#[derive(ShmSafe)]
struct Loose {
    a: u64,
    b: u64,
}

fn main() {}
