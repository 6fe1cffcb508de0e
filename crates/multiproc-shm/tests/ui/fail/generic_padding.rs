use multiproc_shm::{Shared, ShmSafe};

#[derive(ShmSafe)]
#[repr(C)]
struct Pair<A, B>(A, B);

fn main() {
    let _fits = Shared::new(Pair(1u32, 2u32));
    let _gap = Shared::new(Pair(1u8, 2u32));
}
