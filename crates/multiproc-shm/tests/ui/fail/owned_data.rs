use multiproc_shm::Shared;

fn main() {
    let _text = Shared::new(String::new());
    let _list = Shared::new(vec![1u8]);
    let _tuple = Shared::new((1u8, 2u8));
    let _reference = Shared::new(&5u8);
    let _flag = Shared::new(std::sync::atomic::AtomicBool::new(false));
    let _pointer = Shared::new(std::sync::atomic::AtomicPtr::<u8>::default());
    let _option = Shared::new(Some(1u8));
}
