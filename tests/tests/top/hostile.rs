use multiproc::{Event, Mutex, Queue, Semaphore, Shared, ShmSafe};
use multiproc_core::sys::memory::{create_memfd, write_all_at};
use multiproc_tests::{isolated, proc};
use multiproc_top::Watcher;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(ShmSafe)]
#[repr(C)]
struct Desk {
    ledger: Mutex<u64>,
    seats: Semaphore,
    stop: Event,
    reserved: u32,
}

/// What real objects have in their files.
fn images() -> Vec<Vec<u8>> {
    let queue = Queue::bounded(4).unwrap();
    queue.put("text".to_owned()).unwrap();
    let desk = Desk { ledger: Mutex::new(0), seats: Semaphore::new(3), stop: Event::new(), reserved: 0 };
    let desk = Shared::new(desk).unwrap();
    let pool = multiproc::Pool::threads(1).unwrap();
    let files = proc::own_descriptors().into_iter().filter(|(_, link)| {
        link.starts_with("/memfd:multiproc-queue") || link.starts_with("/memfd:multiproc-shared")
    });
    let images: Vec<Vec<u8>> = files
        .map(|(number, _)| {
            let mut bytes = Vec::new();
            File::open(format!("/proc/self/fd/{number}")).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        })
        .collect();
    drop((queue, desk, pool));
    images
}

#[test]
fn whatever_memory_says_of_itself_a_look_comes_to_an_end() {
    isolated(|| {
        let images = images();
        assert!(images.len() >= 3, "{}", images.len());
        let mut watcher = Watcher::new();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..60 {
            // Several at a time, since a look takes longer than all else here.
            let files: Vec<_> = images
                .iter()
                .flat_map(|image| std::iter::repeat_n(image, 5))
                .map(|image| {
                    let mut image = image.clone();
                    for _ in 0..1 << (round % 6) {
                        // Mostly where the words are that say what lies where.
                        let at = random() as usize % if round % 2 == 0 { 160 } else { image.len() };
                        let value = [0, 1, u64::MAX, 1 << 63, random()][random() as usize % 5];
                        let end = image.len().min(at + 8);
                        image[at.min(end)..end].copy_from_slice(&value.to_ne_bytes()[..end - at.min(end)]);
                    }
                    if round % 7 == 0 {
                        image.truncate(random() as usize % image.len());
                    }
                    let file = create_memfd("multiproc-queue").unwrap();
                    write_all_at(&file, &image, 0).unwrap();
                    file
                })
                .collect();
            let seen = watcher.look();
            let count = seen.queues.len() + seen.pools.len() + seen.locks.len() + seen.others.len();
            assert!(count > 0, "{round}");
            for queue in &seen.queues {
                assert!(queue.capacity.is_none_or(|capacity| queue.len <= capacity + 80), "{queue:?}");
            }
            drop(files);
        }
    });
}

#[test]
fn memory_that_is_cut_while_it_is_looked_at_is_an_error_and_no_signal() {
    isolated(|| {
        let images = images();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Relaxed: it says when to end, and nothing else.
                while !is_over.load(Ordering::Relaxed) {
                    for image in &images {
                        let file = File::from(create_memfd("multiproc-shared").unwrap());
                        write_all_at(&file, image, 0).unwrap();
                        for len in [image.len() as u64 / 2, 70, 10, 0] {
                            file.set_len(len).unwrap();
                        }
                    }
                }
            });
            let mut watcher = Watcher::new();
            for _ in 0..100 {
                watcher.look();
            }
            is_over.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_terminal_obeys_nobody_else() {
    isolated(|| {
        let file = create_memfd("multiproc-\u{1b}[2Jevil\n").unwrap();
        let seen = Watcher::new().look();
        let own = seen.others.iter().find(|other| other.kind.contains("evil")).unwrap();
        assert!(!own.kind.chars().any(char::is_control), "{own:?}");
        drop(file);
    });
}
