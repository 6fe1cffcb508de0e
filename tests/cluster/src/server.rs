use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server of a test's own, which ends with it.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
    host: String,
    extra: Vec<String>,
}

/// The program, where it is installed.
fn program() -> Option<&'static str> {
    ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
}

/// A port that was free a moment ago, of those that connections do not take for their own end: a client that tries to
/// reach a server which is gone could get connected to itself.
fn free_port() -> u16 {
    let start = std::process::id() as u16;
    let ports = (0..).map(|n| 10_000 + start.wrapping_mul(61).wrapping_add(n) % 20_000);
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().unwrap()
}

impl Server {
    /// Starts one on this machine; `None`, and a line, where it is not installed.
    pub fn start() -> Option<Server> {
        Server::start_with("127.0.0.1", &[])
    }

    /// Starts one that listens at this address, with more arguments.
    pub fn start_with(host: &str, extra: &[&str]) -> Option<Server> {
        if program().is_none() {
            println!(
                "skipped: several hosts: nats-server is not installed (Debian: apt-get install nats-server)"
            );
            return None;
        }
        let port = free_port();
        let mut server = Server {
            child: None,
            folder: tempfile::tempdir().unwrap(),
            port,
            host: host.to_owned(),
            extra: extra.iter().map(|one| (*one).to_owned()).collect(),
        };
        server.restart();
        Some(server)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://{}:{}", self.host, self.port)
    }

    /// Starts it again, at the same address and with what it has kept.
    pub fn restart(&mut self) {
        let mut command = Command::new(program().unwrap());
        command.args(["-js", "-a", &self.host, "-p", &self.port.to_string(), "-sd"]);
        command.arg(self.folder.path()).args(&self.extra);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        // It says when it is there; the rest of what it says is read so that it is never stopped by a full pipe.
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let is_ready = log.by_ref().map_while(Result::ok).any(|line| line.contains("Server is ready"));
        assert!(is_ready, "nats-server did not start");
        thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        self.child = Some(child);
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Publishes something, as any client without a library could.
    pub fn publish(&self, subject: &str, body: &str) {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let text =
            format!("CONNECT {{\"verbose\":false}}\r\nPUB {subject} {}\r\n{body}\r\nPING\r\n", body.len());
        stream.write_all(text.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.find(|line| line == "PONG").unwrap();
    }

    /// Asks the server something, as any client without a library could: the reply to one request.
    pub fn request(&self, subject: &str, body: &str) -> String {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let text = format!(
            "CONNECT {{\"verbose\":false}}\r\nSUB reply 1\r\nPUB {subject} reply {}\r\n{body}\r\n",
            body.len()
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.by_ref().find(|line| line.starts_with("MSG reply")).unwrap();
        lines.next().unwrap()
    }

    /// The streams that there are, and how many messages each has.
    pub fn streams(&self) -> Vec<(String, u64)> {
        let text = self.request("$JS.API.STREAM.LIST", "");
        // Each stream's own name comes first in its configuration, the number of messages first in its state.
        let names = text.split("\"config\":{\"name\":\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let counts = text.split("\"state\":{\"messages\":").skip(1);
        let counts = counts.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap());
        names.zip(counts).map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
    }

    /// Waits until nothing is in any stream or object store.
    pub fn wait_until_empty(&self, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            let left: Vec<_> = self.streams().into_iter().filter(|(_, count)| *count > 0).collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "left on the server: {left:?}");
            // tidy: sleep because the server tells nobody
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
