use multiproc_shm::{Shared, ShmSafe};

#[derive(ShmSafe)]
#[repr(C, align(8192))]
struct Wide([u8; 8192]);

fn main() {
    let _ = Shared::new(Wide([0; 8192]));
}
