//! Handshakes among two to four honest ends, with somebody in between who sees and sends whatever there is.
//!
//! The input says who takes part, and is a program of frames: raw ones, old and new challenges, answers with the right
//! or a wrong key, damaged ones, anything that was ever sent, to anybody. What an end does is what the page of the
//! handshake says, computed once more here; and whoever is done has had its own challenge answered by somebody else
//! who has the key.

#![no_main]

use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use md5::Md5;
use multiproc_pipe::AuthKey;
use multiproc_pipe::fuzzing::{Handshake, Policy, Role};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;

const CHALLENGE: &[u8] = b"#CHALLENGE#";
const WELCOME: &[u8] = b"#WELCOME#";
const FAILURE: &[u8] = b"#FAILURE#";
const SHA256: &[u8] = b"{sha256}";
/// What a socket lets through.
const MAX_FRAME: usize = 256;
/// More steps than any handshake needs.
const MOST_STEPS: usize = 64;

#[derive(Arbitrary, Debug)]
struct Program {
    key: Vec<u8>,
    ends: [Setup; 4],
    count: u8,
    /// Whether the first two only speak to each other.
    is_honest: bool,
    steps: Vec<(u8, Say)>,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
struct Setup {
    is_listener: bool,
    has_other_key: bool,
    md5: bool,
    relay: bool,
    place: Place,
}

#[derive(Arbitrary, Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    None,
    First,
    Second,
    /// The first one, as a listener for both protocols sees it.
    Mapped,
    Sixth,
}

impl Place {
    fn address(self) -> Option<SocketAddr> {
        let text = match self {
            Place::None => return None,
            Place::First => "10.0.0.1:80",
            Place::Second => "10.0.0.1:81",
            Place::Mapped => "[::ffff:10.0.0.1]:80",
            Place::Sixth => "[::1]:80",
        };
        Some(text.parse().expect("an address"))
    }

    /// What a challenge says of it.
    fn bytes(self) -> [u8; 8] {
        let digest = match self {
            Place::None => return [0; 8],
            Place::First | Place::Mapped => {
                Sha256::digest([b"multiproc v4", &[10, 0, 0, 1][..], &80u16.to_be_bytes()].concat())
            }
            Place::Second => {
                Sha256::digest([b"multiproc v4", &[10, 0, 0, 1][..], &81u16.to_be_bytes()].concat())
            }
            Place::Sixth => {
                let mut ip = [0; 16];
                ip[15] = 1;
                Sha256::digest([b"multiproc v6", &ip[..], &80u16.to_be_bytes()].concat())
            }
        };
        digest[..8].try_into().expect("eight bytes")
    }
}

/// What somebody says to an end.
#[derive(Arbitrary, Debug)]
enum Say {
    Raw(Vec<u8>),
    /// What came `back` frames ago from anybody.
    Seen {
        back: u8,
    },
    /// The same, with a bit changed, cut, or with more behind it.
    Damaged {
        back: u8,
        at: u8,
        bit: u8,
        len: u8,
    },
    /// A challenge as before CPython 3.12.
    Old([u8; 20]),
    /// One with a digest's name, and what may follow that.
    New {
        digest: DigestName,
        label: Label,
        place: Place,
        rest: Vec<u8>,
    },
    /// The answer to the end's own challenge.
    Answer {
        digest: DigestName,
        has_key: bool,
        damage: Option<(u8, u8)>,
    },
    Welcome,
    Failure,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum DigestName {
    Sha256,
    Md5,
    /// The SHA-256 without its name before it.
    Nameless,
    /// The MD5 with the name of CPython 3.12 before it.
    NamedMd5,
    Other,
}

impl DigestName {
    fn name(self) -> &'static [u8] {
        match self {
            DigestName::Sha256 => SHA256,
            DigestName::Md5 | DigestName::Nameless => b"",
            DigestName::NamedMd5 => b"{md5}",
            DigestName::Other => b"{sha3_256}",
        }
    }
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Label {
    None,
    Listener,
    Client,
}

impl Label {
    fn bytes(self) -> &'static [u8] {
        match self {
            Label::None => b"",
            Label::Listener => b"mpLISTEN",
            Label::Client => b"mpCLIENT",
        }
    }
}

fn sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn md5(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn answer(digest: DigestName, key: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = match digest {
        DigestName::Md5 | DigestName::NamedMd5 => md5(key, message),
        _ => sha256(key, message),
    };
    [digest.name(), &mac].concat()
}

/// What an end waits for, and what of its two halves is left.
#[derive(Debug, Clone, PartialEq)]
enum State {
    /// The answer to this.
    Challenged(Vec<u8>),
    Waiting,
    Answered,
    Over,
}

struct End {
    setup: Setup,
    key: Vec<u8>,
    handshake: Handshake,
    state: State,
    halves: u8,
    /// Who has answered its challenge: another end, or who made the program and has the key.
    proof: Option<Option<usize>>,
    is_done: bool,
}

/// What an end ought to say to a frame.
#[derive(Debug, PartialEq)]
enum Ought {
    Answer(Vec<u8>),
    Welcome,
    Nothing,
    Refuse,
}

impl End {
    fn role(&self) -> Role {
        if self.setup.is_listener { Role::Listener } else { Role::Client }
    }

    fn label(&self) -> &'static [u8] {
        if self.setup.is_listener { Label::Listener.bytes() } else { Label::Client.bytes() }
    }

    /// The page of the handshake once more.
    fn ought(&self, frame: &[u8]) -> Ought {
        match &self.state {
            State::Challenged(challenge) => {
                let is_sha = frame == [SHA256, &sha256(&self.key, challenge)].concat();
                let is_md5 = self.setup.md5 && frame == md5(&self.key, challenge);
                if is_sha || is_md5 { Ought::Welcome } else { Ought::Refuse }
            }
            State::Waiting => {
                let Some(challenge) = frame.strip_prefix(CHALLENGE) else { return Ought::Refuse };
                let Some(nonce) = challenge.strip_prefix(SHA256) else {
                    let is_fine = challenge.len() == 20 && self.setup.md5;
                    return if is_fine { Ought::Answer(md5(&self.key, challenge)) } else { Ought::Refuse };
                };
                let is_listeners = nonce.starts_with(Label::Listener.bytes());
                let is_here = nonce.get(8..16) == Some(&self.setup.place.bytes());
                if nonce.len() < 20
                    || nonce.starts_with(self.label())
                    || is_listeners && !is_here && !self.setup.relay
                {
                    return Ought::Refuse;
                }
                Ought::Answer(answer(DigestName::Sha256, &self.key, challenge))
            }
            State::Answered if frame == WELCOME => Ought::Nothing,
            State::Answered => Ought::Refuse,
            State::Over => unreachable!("nobody speaks to it"),
        }
    }
}

/// All that take part, and what they have said.
struct World {
    ends: Vec<End>,
    /// Who said what, in the order of time.
    said: Vec<(usize, Vec<u8>)>,
    key: Vec<u8>,
}

impl World {
    fn new(program: &Program) -> World {
        // Keys that differ only in zeros at their end are the same one.
        let key = |first: u8| [&[first], &program.key[..program.key.len().min(100)], &[1]].concat();
        let count = if program.is_honest { 2 } else { 2 + usize::from(program.count % 3) };
        let mut world = World { ends: Vec::new(), said: Vec::new(), key: key(1) };
        for (number, setup) in program.ends[..count].iter().enumerate() {
            let mut setup = *setup;
            if program.is_honest {
                setup.is_listener = number == 0;
            }
            let key = if setup.has_other_key { key(2) } else { key(1) };
            let role = if setup.is_listener { Role::Listener } else { Role::Client };
            let policy = Policy { md5: setup.md5, relay: setup.relay };
            let (handshake, first) =
                Handshake::begin(role, &AuthKey::from(&key[..]), policy, setup.place.address())
                    .expect("random bytes");
            assert_eq!(first.len(), usize::from(setup.is_listener));
            let state = State::Waiting;
            world.ends.push(End { setup, key, handshake, state, halves: 2, proof: None, is_done: false });
            world.hear(number, first);
        }
        world
    }

    /// Takes note of what an end says.
    fn hear(&mut self, number: usize, frames: Vec<Vec<u8>>) {
        for frame in frames {
            assert!(frame.len() <= MAX_FRAME);
            if let Some(challenge) = frame.strip_prefix(CHALLENGE) {
                let end = &mut self.ends[number];
                assert!(challenge.len() == 48 && challenge.starts_with(&[SHA256, end.label()].concat()));
                assert_eq!(challenge[16..24], end.setup.place.bytes());
                let seen = self.said.iter().any(|(_, old)| *old == frame);
                assert!(!seen, "a challenge is new");
                end.state = State::Challenged(challenge.to_vec());
            }
            self.said.push((number, frame));
        }
    }

    /// Says something to an end.
    fn tell(&mut self, number: usize, frame: &[u8], has_key: bool) {
        let end = &mut self.ends[number];
        if end.state == State::Over || frame.len() > MAX_FRAME {
            return;
        }
        let ought = end.ought(frame);
        let is_own = end.state == State::Waiting
            && frame.starts_with(&[CHALLENGE, SHA256, end.label()].concat())
            && frame.len() >= CHALLENGE.len() + SHA256.len() + 20;
        let step = match end.handshake.take(frame) {
            Ok(step) => step,
            Err(refused) => {
                assert_eq!(ought, Ought::Refuse, "refused: {}", refused.why);
                assert_eq!(refused.is_reflection, is_own);
                let is_judge = matches!(end.state, State::Challenged(_));
                let expected: &[&[u8]] = if is_judge { &[FAILURE] } else { &[] };
                assert_eq!(refused.send, expected);
                end.state = State::Over;
                self.hear(number, refused.send);
                return;
            }
        };
        let mut send = step.send.clone();
        let is_half = match ought {
            Ought::Refuse => panic!("{frame:?} is taken by {:?}", end.role()),
            Ought::Answer(answer) => {
                assert_eq!(send, [answer]);
                end.state = State::Answered;
                false
            }
            Ought::Welcome => {
                assert_eq!(send.first().map(Vec::as_slice), Some(WELCOME));
                send.remove(0);
                end.proof = Some(self.said.iter().find(|(_, old)| old == frame).map(|(who, _)| *who));
                assert!(end.proof != Some(None) || has_key, "forged: {frame:?}");
                end.state = State::Waiting;
                true
            }
            Ought::Nothing => {
                end.state = State::Waiting;
                true
            }
        };
        end.halves -= u8::from(is_half);
        assert_eq!(step.is_done, end.halves == 0);
        if is_half {
            // The client's own challenge comes behind its first half.
            assert_eq!(send.len(), usize::from(end.halves == 1 && end.role() == Role::Client));
        }
        if step.is_done {
            end.state = State::Over;
            end.is_done = true;
        }
        self.hear(number, step.send);
        self.check(number);
    }

    /// Whoever is done has it from somebody else who has the key and may be there.
    fn check(&self, number: usize) {
        let end = &self.ends[number];
        if !end.is_done {
            return;
        }
        let Some(Some(other)) = end.proof else {
            assert!(end.proof.is_some(), "done, and nothing was proven");
            return;
        };
        let other = &self.ends[other];
        assert_ne!(other.role(), end.role(), "reflected");
        assert_eq!(other.key, end.key, "the wrong key");
        if end.setup.is_listener {
            let is_here = other.setup.place.bytes() == end.setup.place.bytes();
            assert!(is_here || other.setup.relay, "relayed");
        }
    }

    fn step(&mut self, number: usize, say: Say) {
        let number = number % self.ends.len();
        let seen = |back: u8| {
            let at = self.said.len().checked_sub(1 + usize::from(back))?;
            Some(self.said[at].1.clone())
        };
        let mut has_key = false;
        let frame = match say {
            Say::Raw(bytes) => bytes,
            Say::Seen { back } => seen(back).unwrap_or_default(),
            Say::Damaged { back, at, bit, len } => {
                let mut frame = seen(back).unwrap_or_default();
                if let Some(byte) = frame.get_mut(usize::from(at)) {
                    *byte ^= 1 << (bit % 8);
                }
                frame.resize(if len == 0 { frame.len() } else { usize::from(len) }, bit);
                frame
            }
            Say::Old(challenge) => [CHALLENGE, &challenge].concat(),
            Say::New { digest, label, place, rest } => {
                let place = place.bytes();
                let place = if label.bytes().is_empty() { &[][..] } else { &place };
                [CHALLENGE, digest.name(), label.bytes(), place, &rest].concat()
            }
            Say::Answer { digest, has_key: knows, damage } => {
                let State::Challenged(challenge) = &self.ends[number].state else { return };
                // Its own key would be no wrong one.
                let other = [&[3], &self.key[..]].concat();
                let key = if knows { &self.ends[number].key } else { &other };
                let mut frame = answer(digest, key, challenge);
                if let Some((at, bit)) = damage {
                    let at = usize::from(at) % frame.len();
                    frame[at] ^= 1 << (bit % 8);
                } else {
                    has_key = knows;
                }
                frame
            }
            Say::Welcome => WELCOME.to_vec(),
            Say::Failure => FAILURE.to_vec(),
        };
        self.tell(number, &frame, has_key);
    }

    /// Has the first two speak to each other.
    fn speak(&mut self) {
        let mut heard = 0;
        while heard < self.said.len() {
            let (who, frame) = self.said[heard].clone();
            heard += 1;
            assert!(heard < MOST_STEPS, "no end");
            self.tell(1 - who, &frame, false);
        }
        let [listener, client] = &self.ends[..] else { unreachable!("two take part") };
        let is_here = listener.setup.place.bytes() == client.setup.place.bytes();
        let ought = listener.key == client.key && (is_here || client.setup.relay);
        assert_eq!((listener.is_done, client.is_done), (ought, ought), "they disagree");
    }
}

fuzz_target!(|program: Program| {
    let mut world = World::new(&program);
    if program.is_honest {
        return world.speak();
    }
    for (number, say) in program.steps.into_iter().take(MOST_STEPS) {
        world.step(usize::from(number), say);
    }
});
