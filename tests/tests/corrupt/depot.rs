use crate::image::{LIMIT, Memory, try_all};
use crate::queue::{HEAD, Item, LOCKS, OWNERS, PLACES, RECORDS, TAIL, finish, item};
use multiproc_core::codec;
use multiproc_core::sys::fd::{drop_packet, open_null, packet_pair, pipe, send, socket_pair};
use multiproc_queue::{Lease, Queue};
use multiproc_tests::isolated_for;
use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A queue of messages with handles, two of which are leased, and its three descriptors.
fn prepared() -> (Queue<Item>, Vec<Lease<Item>>, [OwnedFd; 3]) {
    let queue = Queue::bounded(8).unwrap();
    (0..7).for_each(|number| queue.put(item(number * 2)).unwrap());
    let leases = (0..2).map(|_| queue.lease().unwrap()).collect();
    let fds = codec::encode(&queue).unwrap().fds;
    let fds = [0, 1, 2].map(|at: usize| fds[at].try_clone().unwrap());
    (queue, leases, fds)
}

#[test]
fn tokens() {
    isolated_for(LIMIT, || {
        try_all("tokens of the depot", 1, |random, tally| {
            let (queue, leases, [memory, ..]) = prepared();
            let memory = Memory(memory);
            // The last token that was given, those of the leases, and those in the records, which are small numbers.
            let records: Vec<u64> =
                RECORDS.step_by(8).filter(|at| (1..=8).contains(&memory.word(*at))).collect();
            let token = records[random.below(records.len() as u64) as usize];
            let leased = PLACES.start + 24;
            let places: [Range<u64>; 6] = [
                TAIL.start + 56..TAIL.start + 64,
                token..token + 8,
                leased..leased + 8,
                leased + 32..leased + 40,
                OWNERS.start..OWNERS.start + 16,
                HEAD,
            ];
            memory.damage(random, &places, &LOCKS);
            tally.watch(|tally| finish(&queue, leases, random, tally));
        });
    });
}

#[test]
fn packets() {
    isolated_for(LIMIT, || {
        let null = open_null().unwrap();
        try_all("packets of the depot", 1, |random, tally| {
            let (queue, leases, [_, left, right]) = prepared();
            for _ in 0..=random.below(4) {
                let socket = if random.one_in(2) { &left } else { &right };
                if random.one_in(3) {
                    let _ = drop_packet(socket, &mut [0; 64]);
                    continue;
                }
                // A number, how many there are, whether they are in a pair of their own; or less, or more.
                let mut bytes = [random.below(12), random.below(4) | random.below(3) << 32, random.next()];
                if random.one_in(3) {
                    bytes[random.below(3) as usize] = random.next();
                }
                let bytes: Vec<u8> = bytes.iter().flat_map(|word| word.to_ne_bytes()).collect();
                let len = [16, 16, 16, 0, 7, 24][random.below(6) as usize];
                let fds: Vec<BorrowedFd<'_>> =
                    (0..random.below(5)).map(|at| [&null, &left, &right][at as usize % 3].as_fd()).collect();
                let _ = send(socket, &[IoSlice::new(&bytes[..len])], &fds, false);
            }
            tally.watch(|tally| finish(&queue, leases, random, tally));
            // Sockets that lie in themselves are freed by the kernel when it looks for such; they are taken out here.
            while drop_packet(&left, &mut [0; 8]).is_ok() {}
            while drop_packet(&right, &mut [0; 8]).is_ok() {}
        });
    });
}

#[test]
fn sockets() {
    isolated_for(LIMIT, || {
        try_all("sockets of the depot", 1, |random, tally| {
            let (queue, leases, fds) = prepared();
            let message = codec::encode(&queue).unwrap();
            let mut fds: Vec<OwnedFd> = fds.into();
            let at = random.below(3) as usize;
            let mut kept = Vec::new();
            fds[at] = match random.below(7) {
                0 => open_null().unwrap(),
                1 => pair(packet_pair(), &mut kept),
                2 => pair(socket_pair(), &mut kept),
                3 => pair(pipe(), &mut kept),
                4 => std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into(),
                5 => fds[random.below(3) as usize].try_clone().unwrap(),
                _ => tempfile::tempfile().unwrap().into(),
            };
            if random.one_in(2) {
                // Nobody at the other end.
                kept.clear();
            }
            tally.watch(|tally| match codec::decode::<Queue<Item>>(&message.bytes, fds) {
                Ok(other) => finish(&other, leases, random, tally),
                Err(_) => tally.refused += 1,
            });
        });
    });
}

fn pair(ends: std::io::Result<(OwnedFd, OwnedFd)>, kept: &mut Vec<OwnedFd>) -> OwnedFd {
    let (one, other) = ends.unwrap();
    kept.push(other);
    one
}
