//! Memory without a name: made, handed on by its descriptor, attached, detached.

use multiproc_core::Message;
use multiproc_core::codec::{self, Encoded};
use multiproc_shm::{Shared, SharedBytes, SharedBytesMut};
use std::error::Error;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::control::Bracket;
use crate::scenario::{Found, Neighbours, Scenario, Stage, Tally};

/// What is done with the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Create,
    Attach,
    Send,
    Freeze,
    AttachBytes,
}

struct Handing {
    act: Act,
    is_contended: bool,
}

impl Scenario for Handing {
    fn name(&self) -> String {
        let act = match self.act {
            Act::Create => "Shared/create, clone, drop",
            Act::Attach => "Shared/attach, detach",
            Act::Send => "Shared/to a message and back",
            Act::Freeze => "SharedBytes/fill, freeze, drop",
            Act::AttachBytes => "SharedBytes/attach, detach",
        };
        format!("{act}{}", if self.is_contended { ", contended" } else { "" })
    }

    fn neighbours(&self) -> Neighbours {
        if self.is_contended { Neighbours::Contending(2) } else { Neighbours::None }
    }

    fn stage(&self) -> Box<dyn Stage> {
        let handed = Handed::new(self.act).unwrap_or_else(|error| panic!("no memory to hand on: {error}"));
        Box::new(handed)
    }
}

/// What there is, and the messages by which it is handed on.
struct Handed {
    act: Act,
    value: Shared<AtomicU64>,
    message: Encoded,
    bytes: Encoded,
}

/// A value that no half-made object has.
const WHOLE: u64 = 0x5eed;
/// So many bytes of it: each is an instruction or more to kill at.
const LEN: usize = 40;

impl Handed {
    fn new(act: Act) -> Result<Handed, Box<dyn Error>> {
        let value = Shared::new(AtomicU64::new(WHOLE))?;
        let message = codec::encode(&value)?;
        let bytes = codec::encode(&SharedBytes::copy_from(&[WHOLE as u8; LEN])?)?;
        Ok(Handed { act, value, message, bytes })
    }

    fn act(&self, act: Act) -> Result<(), Box<dyn Error>> {
        match act {
            Act::Create => {
                let made = Shared::new(AtomicU64::new(WHOLE))?;
                let same = made.clone();
                is_whole(&same)
            }
            Act::Attach => {
                let value: Shared<AtomicU64> = attach(&self.message)?;
                is_whole(&value)
            }
            Act::Send => {
                let same = attach::<Shared<AtomicU64>>(&codec::encode(&self.value)?)?;
                if Shared::ptr_eq(&same, &self.value) { is_whole(&same) } else { Err("another value".into()) }
            }
            Act::Freeze => {
                let mut bytes = SharedBytesMut::zeroed(LEN)?;
                bytes.fill(WHOLE as u8);
                are_whole(&bytes.freeze()?)
            }
            Act::AttachBytes => are_whole(&attach::<SharedBytes>(&self.bytes)?),
        }
    }
}

/// As the receiver of a message does, which has descriptors of its own.
fn attach<T: Message>(message: &Encoded) -> Result<T, Box<dyn Error>> {
    let fds = message.fds.iter().map(|fd| fd.try_clone()).collect::<Result<Vec<OwnedFd>, _>>()?;
    Ok(codec::decode(&message.bytes, fds)?)
}

fn is_whole(value: &AtomicU64) -> Result<(), Box<dyn Error>> {
    if value.load(Ordering::Relaxed) == WHOLE { Ok(()) } else { Err("a value that is half-made".into()) }
}

fn are_whole(bytes: &SharedBytes) -> Result<(), Box<dyn Error>> {
    let whole = bytes.len() == LEN && bytes.iter().all(|byte| *byte == WHOLE as u8);
    if whole { Ok(()) } else { Err("bytes that are half-made".into()) }
}

impl Stage for Handed {
    fn victim(&self, bracket: &Bracket<'_>) {
        bracket.begin();
        let result = self.act(self.act);
        bracket.end();
        result.unwrap_or_else(|error| panic!("{error}"));
    }

    fn operate(&self, _who: usize) -> Found {
        self.act(self.act).unwrap_or_else(|error| panic!("{error}"));
        Found::Clean
    }

    fn check(&self, _tally: &Tally) -> Result<(), String> {
        for act in [Act::Attach, Act::AttachBytes] {
            self.act(act).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// All of this file.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let alone = [Act::Create, Act::Attach, Act::Send, Act::Freeze, Act::AttachBytes].map(|act| (act, false));
    let contended = [(Act::Attach, true), (Act::AttachBytes, true)];
    let handing = alone.into_iter().chain(contended);
    handing.map(|(act, is_contended)| Box::new(Handing { act, is_contended }) as Box<dyn Scenario>).collect()
}
