use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_pipe::{Fd, one_way};
use multiproc_process::{Process, StartMethod};
use multiproc_tests::proc::Newcomers;
use multiproc_tests::{Limit, eventually, isolated, on_fork_server, proc, raw, skip};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const SIGKILL: i32 = 9;

/// The fork server: the only child, while no other runs.
fn server() -> u32 {
    let children = proc::own_children();
    assert_eq!(children.len(), 1, "{children:?}");
    children[0].id
}

/// How many this test has killed.
static KILLS: AtomicU32 = AtomicU32::new(0);

fn kill(id: u32) {
    if let Ok(pidfd) = open_pidfd(id) {
        send_signal(pidfd, SIGKILL).unwrap();
        // Relaxed: it is only counted.
        KILLS.fetch_add(1, Ordering::Relaxed);
    }
}

fn tell(when: &str) {
    println!("figures: {} kills in fork servers, {when}", KILLS.load(Ordering::Relaxed));
}

fn spawn_by_server() -> Process<u32> {
    Process::builder().start_method(StartMethod::ForkServer).spawn(20, |n| n + 1).unwrap()
}

#[test]
fn one_server_for_all_children() {
    on_fork_server(Limit::default(), || {
        let first = server();
        for _ in 0..20 {
            assert_eq!(spawn_by_server().join().unwrap(), 21);
        }
        assert_eq!(server(), first);
    });
}

#[test]
fn killed_between_starts() {
    on_fork_server(Limit::default(), || {
        for round in 0..50 {
            let old = server();
            kill(old);
            if round % 2 == 0 {
                // Dead for sure, or perhaps only dying.
                eventually(Duration::from_secs(10), "it is dead", || !proc::is_alive(old));
            }
            assert_eq!(spawn_by_server().join().unwrap(), 21);
            assert_ne!(server(), old);
        }
        tell("between starts");
    });
}

#[test]
fn a_change_of_rights_makes_a_new_one() {
    const GROUP: u32 = 54_321;
    on_fork_server(Limit::default(), || {
        let old = server();
        if !raw::change_group(GROUP) {
            return skip("a change of rights", "only root may change its group");
        }
        let groups = Process::spawn((), |()| {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            status.lines().find_map(|line| line.strip_prefix("Gid:")).unwrap().trim().to_owned()
        });
        assert_eq!(groups.unwrap().join().unwrap(), [GROUP; 4].map(|group| group.to_string()).join("\t"));
        eventually(Duration::from_secs(10), "the old one is gone", || proc::own_children().len() == 1);
        assert_ne!(server(), old);
    });
}

#[test]
fn it_needs_no_call_that_containers_forbid() {
    isolated(|| {
        raw::filter_clone(false);
        assert_eq!(spawn_by_server().join().unwrap(), 21);
        let first = server();
        assert_eq!(spawn_by_server().join().unwrap(), 21);
        assert_eq!(server(), first);
    });
}

#[test]
fn processes_are_executed_where_it_cannot_work() {
    isolated(|| {
        raw::filter_clone(true);
        for _ in 0..2 {
            assert_eq!(spawn_by_server().join().unwrap(), 21);
            eventually(Duration::from_secs(10), "it is gone", || proc::own_children().is_empty());
        }
    });
}

#[test]
fn its_children_do_not_notice() {
    on_fork_server(Limit::default(), || {
        let (reader, writer) = one_way::<u32>().unwrap();
        let old = server();
        let child = Process::spawn(reader, |reader| {
            let first = reader.recv().unwrap();
            first + Process::spawn(reader, |reader| reader.recv().unwrap()).unwrap().join().unwrap()
        });
        let child = child.unwrap();
        kill(old);
        eventually(Duration::from_secs(10), "it is dead", || !proc::is_alive(old));
        assert!(child.is_alive());
        writer.send(1).unwrap();
        writer.send(2).unwrap();
        assert_eq!(child.join().unwrap(), 3);
        assert_eq!(spawn_by_server().join().unwrap(), 21);
    });
}

#[test]
fn killed_while_it_starts_children() {
    on_fork_server(Limit::default(), || {
        let (orders, ordered) = mpsc::channel::<(u32, Duration)>();
        let killer = thread::spawn(move || {
            for (id, delay) in ordered {
                let at = Instant::now() + delay;
                while Instant::now() < at {
                    std::hint::spin_loop();
                }
                kill(id);
            }
        });
        let runs = tempfile::NamedTempFile::new().unwrap();
        let (mut expected, mut changed) = (0, 0);
        for round in 0..300u64 {
            let count = File::options().append(true).open(runs.path()).unwrap();
            let old = server();
            // All over the time that a start takes.
            orders.send((old, Duration::from_micros(round * 7919 % 1200))).unwrap();
            let child = Process::spawn(Fd::new(count), |mut count| count.write_all(b"!").unwrap()).unwrap();
            child.join().unwrap();
            expected += 1;
            eventually(Duration::from_secs(10), "the old server is dead", || !proc::is_alive(old));
            // A server that died after the start is replaced at the next one.
            spawn_by_server().join().unwrap();
            changed += u32::from(server() != old);
            assert_eq!(runs.as_file().metadata().unwrap().len(), expected, "each start is one run");
        }
        assert_eq!(changed, 300);
        drop(orders);
        killer.join().unwrap();
        tell("while they start children");
    });
}

#[test]
fn killed_while_it_starts_itself() {
    on_fork_server(Limit::default(), || {
        let old = server();
        for round in 0..100u64 {
            kill(server());
            eventually(Duration::from_secs(10), "it is dead", || {
                proc::own_children().iter().all(|child| child.state == 'Z')
            });
            let mut newcomers = Newcomers::from_now_on();
            thread::scope(|scope| {
                scope.spawn(move || {
                    // The next child to appear is the new server.
                    let end = Instant::now() + Duration::from_secs(10);
                    while Instant::now() < end {
                        if let Some(new) = newcomers.arrivals().pop() {
                            let at = Instant::now() + Duration::from_micros(round * 37 % 1500);
                            while Instant::now() < at {
                                std::hint::spin_loop();
                            }
                            return kill(new);
                        }
                    }
                });
                // It works all the same, or says what happened; in either case the next one works.
                if let Ok(child) = Process::spawn(1, |n| n + 1)
                    && let Ok(two) = child.join()
                {
                    assert_eq!(two, 2);
                }
            });
            assert_eq!(spawn_by_server().join().unwrap(), 21);
        }
        assert_ne!(server(), old);
        tell("while they start themselves");
    });
}
