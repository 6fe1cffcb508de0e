#![forbid(unsafe_code)]

use multiproc_shm::{Shared, ShmSafe};
use std::sync::atomic::{AtomicU32, AtomicU64};

#[derive(ShmSafe)]
#[repr(C)]
struct Plain {
    a: AtomicU64,
    b: [f32; 2],
    c: (),
}

#[derive(ShmSafe)]
#[repr(C)]
struct Generic<T, const N: usize> {
    items: [T; N],
    more: T,
}

#[derive(ShmSafe)]
#[repr(transparent)]
struct Tuple(Plain);

#[derive(ShmSafe)]
#[repr(C, align(64))]
struct Line([AtomicU32; 16]);

#[derive(ShmSafe)]
#[repr(C)]
struct Empty;

mod renamed {
    use multiproc_shm as other;

    #[derive(other::ShmSafe)]
    #[shm_safe(crate = other)]
    #[repr(C)]
    pub struct Inner(pub u8);
}

fn main() {
    let plain = Plain { a: AtomicU64::new(1), b: [0.5; 2], c: () };
    let shared = Shared::new(Tuple(plain)).unwrap();
    assert_eq!(shared.0.b, [0.5; 2]);
    let () = shared.0.c;
    let generic = Shared::new(Generic { items: [1u16; 3], more: 2 }).unwrap();
    assert_eq!(generic.items[0] + generic.more, 3);
    assert_eq!(Shared::new(Line(Default::default())).unwrap().0.len(), 16);
    assert_eq!(Shared::new(renamed::Inner(4)).unwrap().0, 4);
    Shared::new(Empty).unwrap();
}
