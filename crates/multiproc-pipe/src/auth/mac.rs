use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};

/// The digest's name before a challenge or an answer.
pub(super) const SHA256: &[u8] = b"{sha256}";

/// Which digest an answer is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// CPython 3.12 and later.
    Sha256,
    /// Before that.
    Md5,
}

/// Makes the answer to a challenge.
pub(super) fn answer(algorithm: Algorithm, key: &[u8], challenge: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Sha256 => [SHA256, &compute::<Hmac<Sha256>>(key, challenge)].concat(),
        Algorithm::Md5 => compute::<Hmac<Md5>>(key, challenge),
    }
}

/// Tells whether that is the answer to a challenge, in a time that does not depend on where they differ.
pub(super) fn is_answer(algorithm: Algorithm, key: &[u8], challenge: &[u8], found: &[u8]) -> bool {
    match algorithm {
        Algorithm::Sha256 => {
            found.strip_prefix(SHA256).is_some_and(|found| verify::<Hmac<Sha256>>(key, challenge, found))
        }
        Algorithm::Md5 => verify::<Hmac<Md5>>(key, challenge, found),
    }
}

fn compute<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    match with_key::<M>(key) {
        Some(mut mac) => {
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        }
        None => unreachable!("an HMAC takes a key of any length"),
    }
}

fn verify<M: Mac + KeyInit>(key: &[u8], message: &[u8], found: &[u8]) -> bool {
    with_key::<M>(key).is_some_and(|mut mac| {
        mac.update(message);
        mac.verify_slice(found).is_ok()
    })
}

fn with_key<M: KeyInit>(key: &[u8]) -> Option<M> {
    M::new_from_slice(key).ok()
}

/// The first bytes of the SHA-256 of some parts.
pub(super) fn fingerprint<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    let whole = digest.finalize();
    let mut first = [0; N];
    first.copy_from_slice(&whole[..N]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_are_those_of_python() {
        // hmac.new(b"secret", b"{sha256}abc", "sha256").hexdigest(), and of "md5".
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sha = answer(Algorithm::Sha256, b"secret", b"{sha256}abc");
        assert_eq!(&sha[..8], b"{sha256}");
        assert_eq!(hex(&sha[8..]), "3686437495d7110a68d3fd5cae24280beeea51f02a08eca17d86467c8777a950");
        assert_eq!(
            hex(&answer(Algorithm::Md5, b"secret", b"{sha256}abc")),
            "8e66ef81051b68289988005699c8245e"
        );
    }

    #[test]
    fn no_other_answer_will_do() {
        for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
            let right = answer(algorithm, b"secret", b"challenge");
            assert!(is_answer(algorithm, b"secret", b"challenge", &right));
            assert!(!is_answer(algorithm, b"Secret", b"challenge", &right));
            assert!(!is_answer(algorithm, b"secret", b"Challenge", &right));
            for place in 0..right.len() {
                let mut wrong = right.clone();
                wrong[place] ^= 1;
                assert!(!is_answer(algorithm, b"secret", b"challenge", &wrong), "{algorithm:?} {place}");
                assert!(!is_answer(algorithm, b"secret", b"challenge", &right[..place]));
            }
        }
    }
}
