use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// A message, as everybody who may use the server can see it.
#[derive(Clone, Debug)]
pub struct Overheard {
    /// Where it went.
    pub subject: String,
    /// Where its answer is to go, if there is one.
    pub reply: Option<String>,
    /// What it says.
    pub body: Vec<u8>,
}

/// Somebody who may use the server and has no key: sees everything, and can say anything.
#[derive(Debug)]
pub struct Spy {
    stream: TcpStream,
    heard: std::sync::mpsc::Receiver<Overheard>,
}

impl Spy {
    /// Listens to everything below this subject.
    pub fn on(url: &str, subject: &str) -> Spy {
        let mut stream = TcpStream::connect(url.trim_start_matches("nats://")).unwrap();
        write!(stream, "CONNECT {{\"verbose\":false}}\r\nSUB {subject} 1\r\nPING\r\n").unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while line.trim_end() != "PONG" {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the server answers");
        }
        let (tell, heard) = std::sync::mpsc::channel();
        let mut answers = stream.try_clone().unwrap();
        thread::spawn(move || {
            while let Some(message) = next(&mut lines, &mut answers) {
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        Spy { stream, heard }
    }

    /// The next message to a subject that has this in it.
    pub fn hear(&self, part: &str) -> Overheard {
        loop {
            let message = self.heard.recv_timeout(Duration::from_secs(30)).unwrap();
            if message.subject.contains(part) {
                return message;
            }
        }
    }

    /// All that was heard and not asked for.
    pub fn rest(&self) -> Vec<Overheard> {
        self.heard.try_iter().collect()
    }

    /// Says something, word for word or not.
    pub fn say(&mut self, subject: &str, body: &[u8]) {
        write!(self.stream, "PUB {subject} {}\r\n", body.len()).unwrap();
        self.stream.write_all(body).unwrap();
        self.stream.write_all(b"\r\n").unwrap();
    }
}

/// Reads up to the end of the next message.
fn next(lines: &mut impl BufRead, answers: &mut impl Write) -> Option<Overheard> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let (subject, reply, len) = match words[..] {
            ["MSG", subject, _, len] => (subject, None, len),
            ["MSG", subject, _, reply, len] => (subject, Some(reply.to_owned()), len),
            ["PING"] => {
                answers.write_all(b"PONG\r\n").ok()?;
                continue;
            }
            _ => continue,
        };
        let mut body = vec![0; len.parse::<usize>().ok()? + 2];
        lines.read_exact(&mut body).ok()?;
        body.truncate(body.len() - 2);
        return Some(Overheard { subject: subject.to_owned(), reply, body });
    }
}
