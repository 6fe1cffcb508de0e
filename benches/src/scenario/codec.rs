use super::{Context, Scenario};
use crate::Result;
use crate::measure::{Bench, Round, System};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::hint::black_box;
use std::time::Instant;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "codec",
    sentence: "encode a message into fresh memory, and decode it, beside stock postcard, whose format it is",
    unit: "ns",
    bench,
};

/// A message such as programs have: strings, choices, and a list of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    id: u64,
    name: String,
    place: Option<(f64, f64)>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Step {
    Wait(u32),
    Copy { from: String, to: String },
    Stop,
}

impl Job {
    pub(crate) fn example() -> Job {
        let copy = Step::Copy { from: "/srv/in".to_owned(), to: "/srv/out".to_owned() };
        Job {
            id: 1 << 40,
            name: "nightly".to_owned(),
            place: Some((48.2, 16.4)),
            steps: vec![Step::Wait(300), copy, Step::Stop],
        }
    }
}

/// The names of postcard's systems, to which ours are compared.
struct Names {
    encode: &'static str,
    decode: &'static str,
}

fn bench(context: &Context) -> Result<Bench> {
    let mut systems = Vec::new();
    let effort = context.effort;
    let numbers: [u64; 8] = std::array::from_fn(|index| u64::MAX >> (index * 8));
    let names = Names { encode: "[u64; 8] encode, postcard", decode: "[u64; 8] decode, postcard" };
    add(&mut systems, "[u64; 8]", names, effort.operations(500_000), &numbers);
    let bytes: Vec<u8> = (0..1 << 20).map(|index| index as u8).collect();
    let names = Names { encode: "Vec<u8> 1 MiB encode, postcard", decode: "Vec<u8> 1 MiB decode, postcard" };
    add(&mut systems, "Vec<u8> 1 MiB", names, effort.operations(100), &bytes);
    let strings: Vec<String> = (0..1000).map(|index| format!("the string of number {index}")).collect();
    let names = Names { encode: "1,000 strings encode, postcard", decode: "1,000 strings decode, postcard" };
    add(&mut systems, "1,000 strings", names, effort.operations(1000), &strings);
    let names = Names { encode: "struct encode, postcard", decode: "struct decode, postcard" };
    add(&mut systems, "struct", names, effort.operations(200_000), &Job::example());
    Ok(Bench { systems, ..Bench::default() })
}

/// Adds a message's four systems.
fn add<T>(systems: &mut Vec<System>, name: &str, names: Names, operations: u64, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Clone + 'static,
{
    let mut add = |name: String, against: Option<&'static str>, round| {
        let system = System::new(name, operations, round);
        systems.push(match against {
            Some(against) => system.against(against),
            None => system,
        });
    };
    add(format!("{name} encode, ours"), Some(names.encode), encoding(value.clone(), ours_encode));
    add(names.encode.to_owned(), None, encoding(value.clone(), postcard_encode));
    add(format!("{name} decode, ours"), Some(names.decode), decoding(value.clone(), ours_decode));
    add(names.decode.to_owned(), None, decoding(value.clone(), postcard_decode));
}

fn ours_encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    Ok(multiproc_core::codec::encode(value)?.bytes)
}

fn ours_decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    Ok(multiproc_core::codec::decode(bytes, Vec::new())?)
}

fn postcard_encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    Ok(postcard::to_stdvec(value)?)
}

fn postcard_decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    Ok(postcard::from_bytes(bytes)?)
}

fn encoding<T: Serialize + 'static>(value: T, encode: impl Fn(&T) -> Result<Vec<u8>> + 'static) -> Round {
    Box::new(move |count| {
        if encode(&value)? != postcard_encode(&value)? {
            return Err("the bytes are not postcard's".into());
        }
        let started = Instant::now();
        for _ in 0..count {
            black_box(encode(black_box(&value))?);
        }
        Ok(nanoseconds(started, count))
    })
}

fn decoding<T>(value: T, decode: impl Fn(&[u8]) -> Result<T> + 'static) -> Round
where
    T: Serialize + PartialEq + 'static,
{
    Box::new(move |count| {
        let bytes = postcard_encode(&value)?;
        if decode(&bytes)? != value {
            return Err("the value is not what was encoded".into());
        }
        let started = Instant::now();
        for _ in 0..count {
            black_box(decode(black_box(&bytes))?);
        }
        Ok(nanoseconds(started, count))
    })
}

fn nanoseconds(started: Instant, count: u64) -> f64 {
    started.elapsed().as_secs_f64() * 1e9 / count.max(1) as f64
}
