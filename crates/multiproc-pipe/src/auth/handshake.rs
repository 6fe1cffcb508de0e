use super::AuthKey;
use super::mac::{self, Algorithm};
use multiproc_core::sys::random::fill_random;
use std::io;
use std::net::SocketAddr;

const CHALLENGE: &[u8] = b"#CHALLENGE#";
const WELCOME: &[u8] = b"#WELCOME#";
const FAILURE: &[u8] = b"#FAILURE#";

/// The longest frame before the end of the handshake.
pub(crate) const MAX_FRAME: usize = 256;
/// How long a challenge is before CPython 3.12.
const OLD_CHALLENGE: usize = 20;
/// How long an answer is there.
const OLD_ANSWER: usize = 16;
/// How many bytes follow the digest's name in a challenge, of which so many tell who challenges, and where.
const NONCE: usize = 40;
const LABEL: usize = 8;
const PLACE: usize = 8;
/// The fewest that are answered.
const MIN_NONCE: usize = 20;

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Listener,
    Client,
}

impl Role {
    /// What the challenges of this end begin with.
    fn label(self) -> &'static [u8; LABEL] {
        match self {
            Role::Listener => b"mpLISTEN",
            Role::Client => b"mpCLIENT",
        }
    }
}

/// What is let through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Policy {
    /// The MD5 of CPython before 3.12.
    pub(crate) md5: bool,
    /// A listener that believes to be at another address, as behind a relay.
    pub(crate) relay: bool,
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the peer does not have the same key: give both ends the same one")]
    WrongKey,
    #[error("the peer says that the key is another: give both ends the same one")]
    Rejected,
    #[error(
        "the peer speaks the handshake of CPython before 3.12, whose digest is MD5: let it upgrade, or allow MD5 if all that can reach the address are trusted"
    )]
    Md5,
    #[error("the peer sent this end's own challenge back: it does not have the key: check the address")]
    Reflected,
    #[error(
        "the listener takes itself to be at another address, so somebody in between passes its messages on: connect to it directly, or allow a relay if that is yours"
    )]
    Relayed,
    #[error(
        "the peer speaks another protocol, or expects no key: check the address, and give both ends a key"
    )]
    Protocol,
}

/// One end's part in a handshake: takes frames and gives frames, and knows of no socket.
#[derive(Debug)]
pub(crate) struct Handshake {
    role: Role,
    key: AuthKey,
    policy: Policy,
    /// The TCP address of the listener, as this end sees it.
    place: [u8; PLACE],
    state: State,
    /// What of the two halves is left after the one at hand.
    has_half_left: bool,
}

#[derive(Debug)]
enum State {
    /// Ours is out, the answer is to come.
    Challenged(Vec<u8>),
    /// Theirs is to come.
    Waiting,
    /// We have answered, and are to be told whether that was right.
    Answered,
}

/// What is to be done after a frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Frames to be sent, in their order.
    pub(crate) send: Vec<Vec<u8>>,
    /// Both ends have the key.
    pub(crate) is_done: bool,
}

impl Handshake {
    /// Begins a handshake; the frames are to be sent at once.
    pub(crate) fn begin(
        role: Role,
        key: &AuthKey,
        policy: Policy,
        listener: Option<SocketAddr>,
    ) -> io::Result<(Handshake, Vec<Vec<u8>>)> {
        let mut handshake = Handshake {
            role,
            key: key.clone(),
            policy,
            place: listener.map_or([0; PLACE], place),
            state: State::Waiting,
            has_half_left: true,
        };
        let first = match role {
            Role::Listener => vec![handshake.challenge()?],
            Role::Client => Vec::new(),
        };
        Ok((handshake, first))
    }

    /// Makes a challenge.
    fn challenge(&mut self) -> io::Result<Vec<u8>> {
        let mut message = [mac::SHA256, &[0; NONCE]].concat();
        let nonce = &mut message[mac::SHA256.len()..];
        nonce[..LABEL].copy_from_slice(self.role.label());
        nonce[LABEL..LABEL + PLACE].copy_from_slice(&self.place);
        fill_random(&mut nonce[LABEL + PLACE..])?;
        let frame = [CHALLENGE, &message].concat();
        self.state = State::Challenged(message);
        Ok(frame)
    }

    /// Takes a frame of the peer's; of an error the frames beside it are still to be sent.
    pub(crate) fn take(&mut self, frame: &[u8]) -> Result<Step, (Refusal, Vec<Vec<u8>>)> {
        match std::mem::replace(&mut self.state, State::Waiting) {
            State::Challenged(challenge) => self.judge(&challenge, frame),
            State::Waiting => self.answer(frame).map_err(|refusal| (refusal, Vec::new())),
            State::Answered if frame == WELCOME => self.half(Vec::new()),
            State::Answered if frame == FAILURE => Err((Refusal::Rejected, Vec::new())),
            State::Answered => Err((Refusal::Protocol, Vec::new())),
        }
    }

    /// Goes over to the other half, if there is one.
    fn half(&mut self, mut send: Vec<Vec<u8>>) -> Result<Step, (Refusal, Vec<Vec<u8>>)> {
        let is_done = !std::mem::replace(&mut self.has_half_left, false);
        if !is_done && self.role == Role::Client {
            // No random bytes, no challenge.
            send.push(self.challenge().map_err(|_| (Refusal::Protocol, Vec::new()))?);
        }
        Ok(Step { send, is_done })
    }

    /// The peer's answer to our challenge.
    fn judge(&mut self, challenge: &[u8], found: &[u8]) -> Result<Step, (Refusal, Vec<Vec<u8>>)> {
        let key = self.key.as_bytes().unwrap_or_default();
        let is_old = found.len() == OLD_ANSWER;
        let algorithm = if is_old { Algorithm::Md5 } else { Algorithm::Sha256 };
        let is_right = mac::is_answer(algorithm, key, challenge, found);
        // The peer is told the same, whatever it is that is wrong.
        let refusal = match (is_right, is_old) {
            (true, true) if !self.policy.md5 => Refusal::Md5,
            (true, _) => return self.half(vec![WELCOME.to_vec()]),
            (false, _) => Refusal::WrongKey,
        };
        Err((refusal, vec![FAILURE.to_vec()]))
    }

    /// The peer's challenge.
    fn answer(&mut self, frame: &[u8]) -> Result<Step, Refusal> {
        let challenge = frame.strip_prefix(CHALLENGE).ok_or(Refusal::Protocol)?;
        let key = self.key.as_bytes().unwrap_or_default();
        let algorithm = match challenge.strip_prefix(mac::SHA256) {
            Some(nonce) if nonce.len() < MIN_NONCE => return Err(Refusal::Protocol),
            Some(nonce) => {
                self.check_nonce(nonce)?;
                Algorithm::Sha256
            }
            None if challenge.len() == OLD_CHALLENGE && self.policy.md5 => Algorithm::Md5,
            None if challenge.len() == OLD_CHALLENGE => return Err(Refusal::Md5),
            None => return Err(Refusal::Protocol),
        };
        self.state = State::Answered;
        Ok(Step { send: vec![mac::answer(algorithm, key, challenge)], is_done: false })
    }

    /// Looks at what our own kind says in a challenge.
    fn check_nonce(&self, nonce: &[u8]) -> Result<(), Refusal> {
        if nonce.starts_with(self.role.label()) {
            return Err(Refusal::Reflected);
        }
        // A listener says where it is. That a client takes it to be elsewhere is the client's affair.
        let is_listener = nonce.starts_with(Role::Listener.label());
        let is_elsewhere = nonce.get(LABEL..LABEL + PLACE) != Some(&self.place);
        if is_listener && is_elsewhere && !self.policy.relay { Err(Refusal::Relayed) } else { Ok(()) }
    }
}

/// What a challenge says of the listener's address.
fn place(address: SocketAddr) -> [u8; PLACE] {
    let port = address.port().to_be_bytes();
    // A listener for both protocols sees addresses of the old one in the form of the new one.
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => mac::fingerprint(&[b"multiproc v4", &ip.octets(), &port]),
        std::net::IpAddr::V6(ip) => mac::fingerprint(&[b"multiproc v6", &ip.octets(), &port]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Policy = Policy { md5: true, relay: true };
    const STRICT: Policy = Policy { md5: false, relay: false };

    fn ends(keys: [&str; 2], policies: [Policy; 2], places: [Option<&str>; 2]) -> Result<(), String> {
        let at = |place: Option<&str>| place.map(|place| place.parse().unwrap());
        let begin =
            |role, n: usize| Handshake::begin(role, &keys[n].into(), policies[n], at(places[n])).unwrap();
        let (mut listener, mut to_client) = begin(Role::Listener, 0);
        let (mut client, mut to_listener) = begin(Role::Client, 1);
        assert!(to_listener.is_empty());
        let (mut done, mut rounds) = (0, 0);
        while done < 2 {
            rounds += 1;
            assert!(rounds < 10, "no end");
            for frame in std::mem::take(&mut to_client) {
                assert!(frame.len() <= MAX_FRAME);
                let step = client.take(&frame).map_err(|(refusal, _)| format!("client: {refusal}"))?;
                to_listener.extend(step.send);
                done += u32::from(step.is_done);
            }
            for frame in std::mem::take(&mut to_listener) {
                let step = listener.take(&frame).map_err(|(refusal, _)| format!("listener: {refusal}"))?;
                to_client.extend(step.send);
                done += u32::from(step.is_done);
            }
        }
        Ok(())
    }

    #[test]
    fn the_same_key_opens() {
        for place in [None, Some("127.0.0.1:80"), Some("[::1]:80")] {
            ends(["key", "key"], [STRICT, STRICT], [place, place]).unwrap();
        }
        ends(["key", "key"], [STRICT, STRICT], [Some("[::ffff:127.0.0.1]:80"), Some("127.0.0.1:80")])
            .unwrap();
    }

    #[test]
    fn another_does_not() {
        let refused = ends(["key", "Key"], [OPEN, OPEN], [None, None]).unwrap_err();
        assert!(
            refused.starts_with("listener: the peer does not have the same key: give both ends the same one"),
            "{refused}"
        );
    }

    #[test]
    fn a_relay_is_seen_and_may_be_allowed() {
        let places = [Some("127.0.0.1:80"), Some("127.0.0.1:81")];
        let refused = ends(["key", "key"], [STRICT, STRICT], places).unwrap_err();
        assert!(refused.starts_with("client: the listener takes itself"), "{refused}");
        ends(["key", "key"], [OPEN, OPEN], places).unwrap();
    }

    fn challenge_of(frames: &[Vec<u8>]) -> Vec<u8> {
        frames.last().unwrap().strip_prefix(CHALLENGE).unwrap().to_vec()
    }

    #[test]
    fn a_challenge_is_not_answered_by_its_own_side() {
        // A thief listens, is challenged by a client, and passes that on to another one, or to the same one again.
        let key = AuthKey::from("key");
        let (mut first, _) = Handshake::begin(Role::Client, &key, STRICT, None).unwrap();
        let old = [CHALLENGE, mac::SHA256, &[7; NONCE]].concat();
        first.take(&old).unwrap();
        let challenge = challenge_of(&first.take(WELCOME).unwrap().send);
        let (mut second, _) = Handshake::begin(Role::Client, &key, OPEN, None).unwrap();
        let (refusal, _) = second.take(&[CHALLENGE, &challenge].concat()).unwrap_err();
        assert!(matches!(refusal, Refusal::Reflected), "{refusal}");
    }

    #[test]
    fn nothing_is_answered_before_it_was_shown() {
        // A thief connects, and would have the listener answer first.
        let (mut listener, first) = Handshake::begin(Role::Listener, &"key".into(), OPEN, None).unwrap();
        let (refusal, said) = listener.take(&first[0]).unwrap_err();
        assert!(matches!(refusal, Refusal::WrongKey));
        assert_eq!(said, [FAILURE]);
    }

    #[test]
    fn an_answer_is_good_for_one_challenge() {
        let key = AuthKey::from("key");
        let (mut old, first) = Handshake::begin(Role::Listener, &key, STRICT, None).unwrap();
        let heard = mac::answer(Algorithm::Sha256, b"key", &challenge_of(&first));
        old.take(&heard).unwrap();
        let (mut new, _) = Handshake::begin(Role::Listener, &key, STRICT, None).unwrap();
        assert!(new.take(&heard).is_err());
    }

    #[test]
    fn md5_only_when_asked_for() {
        let (mut listener, first) = Handshake::begin(Role::Listener, &"key".into(), STRICT, None).unwrap();
        let right = mac::answer(Algorithm::Md5, b"key", &challenge_of(&first));
        let (refusal, said) = listener.take(&right).unwrap_err();
        assert!(matches!(refusal, Refusal::Md5));
        assert_eq!(said, [FAILURE], "who does not allow it does not tell that it was right");
        let (mut client, _) = Handshake::begin(Role::Client, &"key".into(), STRICT, None).unwrap();
        assert!(client.take(&[CHALLENGE, &[7; OLD_CHALLENGE]].concat()).is_err());

        let (mut listener, first) = Handshake::begin(Role::Listener, &"key".into(), OPEN, None).unwrap();
        let right = mac::answer(Algorithm::Md5, b"key", &challenge_of(&first));
        assert_eq!(listener.take(&right).unwrap().send, [WELCOME]);
        let wrong = mac::answer(Algorithm::Md5, b"kez", &challenge_of(&first));
        assert!(listener.take(&wrong).is_err());
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        let short = [CHALLENGE, mac::SHA256, &[7; MIN_NONCE - 1]].concat();
        let other = [CHALLENGE, b"{sha1}", &[7; 40]].concat();
        for frame in [&b""[..], b"#CHALLENGE#", b"GET / HTTP/1.1", WELCOME, &short, &other] {
            let (mut client, _) = Handshake::begin(Role::Client, &"key".into(), OPEN, None).unwrap();
            assert!(client.take(frame).is_err(), "{frame:?}");
            let (mut listener, _) = Handshake::begin(Role::Listener, &"key".into(), OPEN, None).unwrap();
            assert!(listener.take(frame).is_err(), "{frame:?}");
        }
    }

    #[test]
    fn challenges_differ() {
        let first = || Handshake::begin(Role::Listener, &"key".into(), STRICT, None).unwrap().1;
        assert_ne!(first(), first());
    }
}
