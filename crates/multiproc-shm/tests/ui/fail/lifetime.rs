use multiproc_shm::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
struct Borrowed<'a> {
    a: &'a u8,
}

fn main() {}
