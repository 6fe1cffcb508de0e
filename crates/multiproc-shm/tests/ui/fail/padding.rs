use multiproc_shm::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
struct Gap {
    a: u8,
    b: u32,
}

fn main() {}
