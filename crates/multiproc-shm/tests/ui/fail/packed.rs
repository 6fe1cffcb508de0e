use multiproc_shm::ShmSafe;

#[derive(ShmSafe)]
#[repr(C, packed)]
struct Tight {
    a: u8,
    b: u32,
}

fn main() {}
