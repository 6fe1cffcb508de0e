use multiproc_shm::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
union Either {
    a: u32,
    b: f32,
}

fn main() {}
