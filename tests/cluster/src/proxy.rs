use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A wire between a host and the server, which can be slow, and can be cut as a partition does: nothing passes and
/// nobody is told.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_cut: AtomicBool,
    is_over: AtomicBool,
    delay: AtomicU64,
}

impl Wire {
    /// Lays a wire to a server's address.
    pub fn to(url: &str) -> Wire {
        let target = url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let state = Arc::clone(&wire.state);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if state.is_over.load(Ordering::Relaxed) {
                    return;
                }
                // While it is cut one may connect, to nothing.
                while state.is_cut.load(Ordering::Relaxed) && !state.is_over.load(Ordering::Relaxed) {
                    pause();
                }
                let Ok(far) = TcpStream::connect(&target) else { continue };
                for (from, to) in [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))] {
                    let (from, to, state) = (from.unwrap(), to.unwrap(), Arc::clone(&state));
                    thread::spawn(move || forward(from, to, &state));
                }
            }
        });
        wire
    }

    /// The server's address at this end of the wire.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Cuts it, or mends it.
    pub fn cut(&self, is_cut: bool) {
        self.state.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// Has everything take so much longer, each way.
    pub fn delay(&self, by: Duration) {
        self.state.delay.store(by.as_micros() as u64, Ordering::Relaxed);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        // Wakes who listens.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn pause() {
    // tidy: sleep because a wire that is cut is looked at until it is mended
    thread::sleep(Duration::from_millis(2));
}

fn forward(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut bytes = vec![0; 64 << 10];
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    while !state.is_over.load(Ordering::Relaxed) {
        if state.is_cut.load(Ordering::Relaxed) {
            pause();
            continue;
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(len) => {
                let at = Instant::now() + Duration::from_micros(state.delay.load(Ordering::Relaxed));
                while Instant::now() < at || state.is_cut.load(Ordering::Relaxed) {
                    if state.is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    pause();
                }
                if to.write_all(&bytes[..len]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}
