use multiproc_shm::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {}
}

fn main() {}
