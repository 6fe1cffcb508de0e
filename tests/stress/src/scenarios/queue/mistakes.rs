//! Mistakes in the ring. Each is a change of its source, from which the build makes a copy of the ring with that
//! mistake: this file belongs to `build.rs`.

/// One change, after which the ring is wrong.
pub(crate) struct Mistake {
    /// What is wrong.
    pub(crate) name: &'static str,
    /// In which file of the ring.
    pub(crate) file: &'static str,
    /// What stands there, once.
    pub(crate) from: &'static str,
    /// What takes its place.
    pub(crate) to: &'static str,
    /// The case in which it must be caught, and over how many chunks.
    pub(crate) case: &'static str,
    pub(crate) chunks: usize,
}

/// All of them.
pub(crate) const MISTAKES: &[Mistake] = &[
    Mistake {
        name: "commit, then signal",
        file: "put.rs",
        from: "control.tail.cell.publish(at.position(count).pack());",
        to: "control.tail.cell.publish_quietly(at.position(count).pack());
            control.tail.cell.publish(at.position(count).pack());",
        case: "paths::put_to_sleepers",
        chunks: 12,
    },
    Mistake {
        name: "commit, then payload",
        file: "put.rs",
        from: "for record in records {",
        to: "for record in records {
            let words = 1 + record.bytes.len().div_ceil(8);
            if words <= at.left() {
                let end = Position { count: count.wrapping_add(1), chunk: at.chunk, offset: at.offset + words as u32 };
                control.tail.cell.publish(end.pack());
            }",
        case: "paths::put_small",
        chunks: 12,
    },
    Mistake {
        name: "room for one too many",
        file: "put.rs",
        from: "count.wrapping_sub(Position::unpack(head).count) >= self.shape.capacity",
        to: "count.wrapping_sub(Position::unpack(head).count) > self.shape.capacity",
        case: "paths::put_alone",
        chunks: 12,
    },
    Mistake {
        name: "leased chunks are free",
        file: "put.rs",
        from: "&& !self.memory.control().leases.hold(turn)",
        to: "",
        case: "leases::give_back_alone",
        chunks: 12,
    },
    Mistake {
        name: "the head's chunk is free",
        file: "put.rs",
        from: "!(first..=at.turn)",
        to: "!(first + 1..=at.turn)",
        case: "paths::get_alone",
        chunks: 12,
    },
    Mistake {
        name: "head, then signal",
        file: "take.rs",
        from: "control.head.cell.publish(at.position(count).pack());",
        to: "control.head.cell.publish_quietly(at.position(count).pack());
        control.head.cell.publish(at.position(count).pack());",
        case: "paths::get_with_sleepers",
        chunks: 12,
    },
    Mistake {
        name: "head, then words",
        file: "take.rs",
        from: "let mut count = head.count;",
        to: "let mut count = head.count;
        let mut ahead = at;
        self.read(&mut ahead, &tail, count, &mut Batch::default())?;
        control.head.cell.publish(ahead.position(count.wrapping_add(1)).pack());",
        case: "paths::get_over_the_end",
        chunks: 3,
    },
    Mistake {
        name: "handles released, then head",
        file: "take.rs",
        from: "control.head.cell.publish(at.position(count).pack());",
        to: "if let Some(token) = with_handles {
            records.release(token);
        }
        control.head.cell.publish(at.position(count).pack());",
        case: "paths::get_with_handles",
        chunks: 12,
    },
    Mistake {
        name: "sleepers do not look for the dead",
        file: "take.rs",
        from: "|| self.return_of_the_dead(),",
        to: "|| {},",
        case: "leases::held_from_sleepers",
        chunks: 12,
    },
    Mistake {
        name: "head, then table",
        file: "lease.rs",
        from: "leases.set_owner(place, process);
        control.head.cell.publish(at.position(head.count.wrapping_add(1)).pack());",
        to: "control.head.cell.publish(at.position(head.count.wrapping_add(1)).pack());
        leases.set_owner(place, process);",
        case: "leases::lease_alone",
        chunks: 12,
    },
    Mistake {
        name: "what a dead taker wrote into the table stays",
        file: "lease.rs",
        from: "_ if leases.places[place].position.load(Ordering::Relaxed) == at => {
                    leases.set_owner(place, FREE);
                }",
        to: "",
        case: "leases::lease_alone",
        chunks: 12,
    },
    Mistake {
        name: "nobody hears who dies with a lease",
        file: "lease.rs",
        from: "Ok(_) => thread::hold(control.bell.futex()),
            Err(_) => thread::watch_again(watched),",
        to: "_ => thread::watch_again(watched),",
        case: "leases::held_from_sleepers",
        chunks: 12,
    },
    Mistake {
        name: "what comes back is not told",
        file: "lease.rs",
        from: "self.give_back(leased.place);
                has_waiters = true;",
        to: "self.give_back(leased.place);",
        case: "leases::dropped_to_sleepers",
        chunks: 12,
    },
    Mistake {
        name: "what is done is not told",
        file: "lease.rs",
        from: "cell.publish(cell.read_as_writer());
    }

    fn give_back",
        to: "}

    fn give_back",
        case: "leases::done_with_joiners",
        chunks: 12,
    },
];
