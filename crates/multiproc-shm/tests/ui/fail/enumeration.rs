use multiproc_shm::ShmSafe;

#[derive(ShmSafe)]
#[repr(u8)]
enum State {
    Idle,
    Busy,
}

fn main() {}
