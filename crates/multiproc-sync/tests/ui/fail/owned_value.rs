use multiproc_sync::Mutex;

fn main() {
    let _ = Mutex::new(String::new());
}
