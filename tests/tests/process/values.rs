use multiproc_pipe::{Connection, Fd, PipeReader, PipeWriter, one_way, pipe};
use multiproc_process::{Func, JoinError, Process, StartMethod};
use multiproc_tests::{Bytes, Limit, on_both};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Named { name: String, corners: Vec<(i32, i32)> },
}

#[derive(Serialize, Deserialize)]
struct Clock {
    interval: u32,
}

impl Clock {
    fn ticks(self) -> u32 {
        self.interval * 3
    }

    fn add(&mut self, n: u32) {
        self.interval += n;
    }
}

fn largest<T: PartialOrd + Copy>(numbers: Vec<T>) -> Option<T> {
    numbers.into_iter().reduce(|a, b| if b > a { b } else { a })
}

#[test]
fn hello() {
    on_both(Limit::default(), |_| {
        assert_eq!(
            Process::spawn("world".to_owned(), |name| format!("hello {name}")).unwrap().join().unwrap(),
            "hello world"
        );
    });
}

#[test]
fn values_of_all_kinds() {
    on_both(Limit::default(), |_| {
        let shapes = vec![
            Shape::Point,
            Shape::Circle(-0.5),
            Shape::Named { name: "ß∂ƒ\0".into(), corners: vec![(i32::MIN, i32::MAX), (0, -1)] },
        ];
        let map: BTreeMap<String, Option<Vec<u8>>> =
            [("a".into(), None), ("b".into(), Some(vec![0, 255]))].into();
        let value = (shapes, map, 'x', i128::MIN, u64::MAX, (true, ()), [1.5f32; 4]);
        let back = Process::spawn(value.clone(), |value| value).unwrap().join().unwrap();
        assert_eq!(back, value);
    });
}

#[test]
fn functions_of_all_kinds() {
    on_both(Limit::default(), |_| {
        assert_eq!(Process::spawn(Clock { interval: 5 }, Clock::ticks).unwrap().join().unwrap(), 15);
        assert_eq!(Process::spawn(vec![3, 9, 4], largest::<u32>).unwrap().join().unwrap(), Some(9));
        assert_eq!(Process::spawn(vec![0.5, 0.25], largest::<f64>).unwrap().join().unwrap(), Some(0.5));
        Process::spawn((), |()| ()).unwrap().join().unwrap();
        let mutated = Process::spawn((Clock { interval: 1 }, 4), |(mut clock, n)| {
            clock.add(n);
            clock.interval
        });
        assert_eq!(mutated.unwrap().join().unwrap(), 5);
        // Wrappers that are generic over the argument take a `fn` too.
        fn run<A: Serialize + for<'a> Deserialize<'a> + 'static>(args: A, f: fn(A) -> u8) -> u8 {
            Process::spawn((args, Func::new(f)), |(args, f)| f.call(args)).unwrap().join().unwrap()
        }
        assert_eq!(run("seven".to_owned(), |text| text.len() as u8), 5);
    });
}

#[test]
fn a_function_that_never_returns() {
    on_both(Limit::default(), |_| {
        let child = Process::builder().daemon(true).spawn((), |()| -> () {
            loop {
                std::thread::park();
            }
        });
        let child = child.unwrap();
        assert!(child.is_alive());
        child.kill().unwrap();
        assert!(matches!(child.join(), Err(JoinError::Signaled { signal: 9, .. })));
    });
}

#[test]
fn sizes_around_the_limits_of_transport() {
    on_both(Limit::default(), |_| {
        let around = |size: usize| (size - 80..=size + 8).step_by(8).chain([size - 1, size, size + 1]);
        for len in [0, 1].into_iter().chain(around(32 << 10)).chain([64 << 10, 1 << 20, (1 << 20) + 1]) {
            let both_ways = Process::spawn((len, Bytes::patterned(len)), |(len, bytes)| {
                assert!(bytes.is_patterned(len));
                bytes
            });
            assert!(both_ways.unwrap().join().unwrap().is_patterned(len), "{len} bytes");
        }
    });
}

#[test]
fn large_values() {
    on_both(Limit(Duration::from_secs(120)), |_| {
        let len = 64 << 20;
        let back = Process::spawn(Bytes::patterned(len), |bytes| bytes).unwrap().join().unwrap();
        assert!(back.is_patterned(len));
    });
}

#[test]
fn a_gibibyte_in_either_direction() {
    on_both(Limit(Duration::from_secs(120)), |method| {
        if method == StartMethod::ForkServer {
            return; // the same memory file carries it
        }
        let len = 1 << 30;
        let ends = |bytes: &Bytes| (bytes.0.len(), bytes.0[0], bytes.0[len - 1]);
        let mut bytes = Bytes(vec![0; len]);
        bytes.0[len - 1] = 7;
        let seen = Process::spawn(bytes, |bytes| (bytes.0.len(), bytes.0[0], bytes.0[(1 << 30) - 1]));
        assert_eq!(seen.unwrap().join().unwrap(), (len, 0, 7));
        let made = Process::spawn(len, |len| {
            let mut bytes = Bytes(vec![0; len]);
            bytes.0[0] = 9;
            bytes
        });
        assert_eq!(ends(&made.unwrap().join().unwrap()), (len, 9, 0));
    });
}

#[derive(Serialize, Deserialize)]
struct Ends {
    talk: Connection<u32, String>,
    log: Option<Vec<PipeWriter<u8>>>,
    file: Fd<File>,
    reader: PipeReader<u8>,
}

#[test]
fn handles_inside_arguments_and_results() {
    on_both(Limit::default(), |_| {
        let (ours, theirs) = pipe::<String, u32>().unwrap();
        let (log_reader, log_writer) = one_way().unwrap();
        let (reader, writer) = one_way().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let ends = Ends {
            talk: theirs,
            log: Some(vec![log_writer]),
            file: Fd::new(file.try_clone().unwrap()),
            reader,
        };
        writer.send(7).unwrap();
        ours.send("four".into()).unwrap();
        let child = Process::spawn(ends, |mut ends| {
            ends.talk.send(ends.talk.recv().unwrap().len() as u32).unwrap();
            ends.log.as_ref().unwrap()[0].send(ends.reader.recv().unwrap() + 1).unwrap();
            ends.file.write_all(b"written there").unwrap();
            // A handle that the child made, and all those that it got, as a result.
            let (made_reader, made_writer) = one_way::<u64>().unwrap();
            made_writer.send(u64::MAX).unwrap();
            (made_reader, ends)
        });
        let (made, back) = child.unwrap().join().unwrap();
        assert_eq!(made.recv().unwrap(), u64::MAX);
        assert!(made.recv().unwrap_err().is_eof());
        assert_eq!((ours.recv().unwrap(), log_reader.recv().unwrap()), (4, 8));
        back.talk.send(5).unwrap();
        assert_eq!(ours.recv().unwrap(), 5);
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "written there");
    });
}

#[test]
fn six_hundred_handles_in_one_message() {
    on_both(Limit::default(), |_| {
        let (readers, writers): (Vec<_>, Vec<_>) = (0..600).map(|_| one_way::<u32>().unwrap()).unzip();
        let child = Process::spawn(writers, |writers| {
            for (number, writer) in (0..).zip(&writers) {
                writer.send(number).unwrap();
            }
            writers
        });
        let writers = child.unwrap().join().unwrap();
        for (number, reader) in (0..).zip(&readers) {
            assert_eq!(reader.recv().unwrap(), number);
        }
        drop(writers);
        for reader in &readers {
            assert!(reader.recv().unwrap_err().is_eof());
        }
    });
}

#[test]
fn functions_as_values() {
    on_both(Limit::default(), |_| {
        let jobs: Vec<Func<u32, u32>> =
            vec![Func::new(|n| n + 1), Func::new(|n| n * n), Func::new(u32::swap_bytes)];
        let child = Process::spawn(jobs, |jobs| {
            let results: Vec<u32> = jobs.iter().map(|job| job.call(300)).collect();
            (results, jobs)
        });
        let (results, jobs) = child.unwrap().join().unwrap();
        assert_eq!(results, [301, 90_000, 300u32.swap_bytes()]);
        assert_eq!(jobs[1].call(4), 16);
    });
}

/// Writes what it does not read.
#[derive(Debug)]
struct Liar;

impl Serialize for Liar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for Liar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Liar, D::Error> {
        u8::deserialize(deserializer)?;
        Err(D::Error::custom("not today"))
    }
}

/// Cannot be written.
#[derive(Debug, Deserialize)]
struct Mute;

impl Serialize for Mute {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no words"))
    }
}

#[test]
fn what_cannot_travel() {
    on_both(Limit::default(), |_| {
        let error = Process::spawn(Mute, |_| ()).unwrap_err();
        assert!(error.is_encode() && error.to_string().contains("no words"), "{error}");

        let child = Process::spawn(Liar, |_| ()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert_eq!(child.join().unwrap_err(), JoinError::Decode);

        let child = Process::spawn((), |()| Liar).unwrap();
        assert!(child.wait().unwrap().success(), "the child did its part");
        assert_eq!(child.join().unwrap_err(), JoinError::Decode);

        let child = Process::spawn((), |()| Mute).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let error = child.join().unwrap_err();
        assert!(matches!(&error, JoinError::Encode { message } if message.contains("no words")), "{error}");
    });
}
