use multiproc_shm::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
struct Flag {
    set: bool,
}

fn main() {}
