//! What a process remembers between two steps, and when two memories are the same.
//!
//! A process is a function: from what it remembers, and what it learns by its next step, to what it remembers then.
//! So the source is run once for each pair of these, and the search looks the rest up in a table.
//!
//! A stack holds more than what is remembered: registers that were saved but will not be read, places of variables
//! whose life is over. To tell by them would multiply the states. So stacks are put into **classes**: of one site (the
//! same return addresses, the same next step) those are in a class that agree in the words known to be *live* there. At
//! first none is known to be. Nothing rests on a guess, though: **every stack that was put into a class is run with
//! everything that any of its class ever learned, and must come to the same class**. If it does not, a word in which
//! it differs becomes live, and the search begins again. Once a search has come to its end, the members of a class do
//! the same, whatever they learn, for as long as one looks; that is a bisimulation, and no behaviour was lost.

use crate::fiber::RETURN;
use crate::machine::{Local, Request, World};
use multiproc_core::sync::model::{Action, Modify};
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Of a class so many members are tried as they are; of the others, each word by itself.
const MEMBERS: usize = 8;
/// So many trials are made after two members of a class were found to differ: others may too, but not all that is tried
/// from then on exists.
const ENOUGH: usize = 1000;
/// For each thing that a class has learned, so many mixtures of all words are tried.
const MIXTURES: usize = 4;

/// How a process takes its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) request: Request,
    /// No other process can tell when it happens.
    pub(crate) is_alone: bool,
    /// It changes nothing that others, or the kernel, can see.
    pub(crate) is_pure: bool,
}

/// What a process remembers, wherever it is.
pub(crate) struct Table {
    process: usize,
    world: &'static World,
    all: Vec<Known>,
    by_content: HashMap<u128, u32, BuildHasherDefault<Plain>>,
    /// Where each of them came to, by what it learned.
    ways: HashMap<u64, u32, BuildHasherDefault<Plain>>,
    log: Vec<(u32, u64, u32)>,
    /// What became of the search that is on.
    classes: Vec<Class>,
    by_key: HashMap<u128, u32, BuildHasherDefault<Plain>>,
    next: HashMap<u64, u32, BuildHasherDefault<Plain>>,
}

/// The words that are live at each site, of all tables.
#[derive(Debug, Default)]
pub(crate) struct Live {
    sites: HashMap<u64, BTreeSet<u32>>,
    /// How many words were found to be live; keys change with that.
    learned: usize,
    code: Range<u64>,
    /// Whether all words are.
    all: bool,
    /// Two members of a class were found to differ: the search must begin again with smaller ones.
    pub(crate) differs: bool,
    /// How many trials there were since.
    pub(crate) since: usize,
}

struct Known {
    local: Local,
    site: u64,
    /// Its key, and when it was that.
    key: Cell<(usize, u128)>,
    failure: Option<String>,
    class: Option<u32>,
}

struct Class {
    step: Step,
    /// The first of them stands for all.
    members: Vec<u32>,
    learned: Vec<u64>,
    /// What was found in words that are not live, beside what the first one has there.
    values: HashSet<(u32, u64)>,
}

/// What must come to where the first member of the class comes to, if it learns the same.
#[derive(Clone, Copy)]
enum Trial {
    Member(u32, u64),
    /// The first member, with another value in a word.
    Word(u32, u32, u64, u64),
}

/// Hashes are spread evenly already.
#[derive(Default)]
pub(crate) struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

fn pair(of: u32, learned: u64) -> u64 {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&of.to_ne_bytes());
    bytes[4..].copy_from_slice(&learned.to_ne_bytes());
    xxh3_64(&bytes)
}

impl Live {
    pub(crate) fn new(all: bool) -> Live {
        Live { sites: HashMap::new(), learned: 0, code: code(), all, differs: false, since: 0 }
    }

    fn learn(&mut self, site: u64, words: impl IntoIterator<Item = u32>) {
        self.sites.entry(site).or_default().extend(words);
        self.learned += 1;
    }

    /// How many words are known to be live.
    fn words(&self) -> usize {
        self.sites.values().map(BTreeSet::len).sum()
    }

    /// Tells whether enough was learned since the search is known to be in vain.
    pub(crate) fn is_over(&self) -> bool {
        self.since >= ENOUGH
    }

    fn of(&self, site: u64, word: usize) -> bool {
        self.all || self.sites.get(&site).is_some_and(|live| live.contains(&(word as u32)))
    }

    /// Where a process is: the return addresses on its stack, and what it is about to do.
    fn site(&self, local: &Local) -> u64 {
        let mut words = vec![local.stack.len() as u64];
        for (at, word) in local.stack.iter().enumerate() {
            if at == RETURN || self.code.contains(word) {
                words.extend([at as u64, *word]);
            }
        }
        words.push(match local.request {
            Request::Begin => 0,
            Request::Done => 1,
            Request::Panicked => 2,
            Request::Do(Action::Access(_)) => 3,
            Request::Do(Action::Wait { .. }) => 4,
            Request::Do(Action::Wake { .. }) => 5,
            Request::Do(Action::IsAlive(_)) => 6,
            Request::Do(Action::Watch(_)) => 7,
        });
        hash(&words) as u64
    }

    fn key(&self, local: &Local, site: u64) -> u128 {
        let mut words = vec![site];
        describe(&mut words, local.request);
        words.extend(local.held.iter().map(|held| *held as u64));
        if self.all {
            words.extend(&*local.stack);
        } else if let Some(live) = self.sites.get(&site) {
            words.extend(live.iter().map(|word| local.stack[*word as usize]));
        }
        hash(&words)
    }
}

/// Where the program's code lies.
fn code() -> Range<u64> {
    let here = code as fn() -> Range<u64> as usize as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let range = |line: &str| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        let range = u64::from_str_radix(from, 16).ok()?..u64::from_str_radix(to, 16).ok()?;
        range.contains(&here).then_some(range)
    };
    maps.lines().find_map(range).unwrap_or(0..0)
}

fn hash(words: &[u64]) -> u128 {
    xxh3_128(zerocopy::IntoBytes::as_bytes(words))
}

/// Adds words that tell requests apart.
fn describe(words: &mut Vec<u64>, request: Request) {
    match request {
        Request::Begin => words.push(1),
        Request::Done => words.push(2),
        Request::Panicked => words.push(3),
        Request::Do(Action::Access(access)) => {
            words.extend([4, access.address as u64, access.bytes as u64, access.is_alone.into()]);
            match access.change {
                Modify::Load => words.push(0),
                Modify::Store(value) => words.extend([1, value]),
                Modify::Or(value) => words.extend([2, value]),
                Modify::And(value) => words.extend([3, value]),
                Modify::Add(value) => words.extend([4, value]),
                Modify::Sub(value) => words.extend([5, value]),
                Modify::Max(value) => words.extend([6, value]),
                Modify::Exchange { current, new } => words.extend([7, current, new]),
            }
        }
        Request::Do(Action::Wait { words: on, count }) => {
            words.extend([5, count as u64]);
            words.extend(on.iter().flat_map(|(address, expected)| [*address as u64, u64::from(*expected)]));
        }
        Request::Do(Action::Wake { address, count, change }) => {
            words.extend([6, address as u64, count.into()]);
            // A change is known by what it does.
            let of = |change: multiproc_core::sys::futex::Change| {
                [0, u32::MAX, 0x1234_5678].map(|word| u64::from(change.apply(word)))
            };
            words.extend(change.map_or([u64::MAX; 3], of));
        }
        Request::Do(Action::IsAlive(id)) => words.extend([7, id]),
        Request::Do(Action::Watch(address)) => words.extend([8, address as u64]),
    }
}

impl Table {
    /// What the process with that number remembers.
    pub(crate) fn new(world: &'static World, process: usize) -> Table {
        Table {
            process,
            world,
            all: Vec::new(),
            by_content: HashMap::default(),
            ways: HashMap::default(),
            log: Vec::new(),
            classes: Vec::new(),
            by_key: HashMap::default(),
            next: HashMap::default(),
        }
    }

    /// Forgets the classes, and returns that of a process that has not begun.
    pub(crate) fn begin(&mut self, live: &mut Live) -> u32 {
        self.classes.clear();
        self.by_key.clear();
        self.next.clear();
        self.all.iter_mut().for_each(|known| known.class = None);
        while self.learn(live) {}
        let first = self.known(live, self.world.first());
        self.class(live, first, &mut VecDeque::new())
    }

    /// How a process of the class takes its next step.
    pub(crate) fn step(&self, class: u32) -> Step {
        self.classes[class as usize].step
    }

    /// What the panic said that a process of the class ended with.
    pub(crate) fn failure(&self, class: u32) -> String {
        let member = self.classes[class as usize].members[0];
        self.all[member as usize].failure.clone().unwrap_or_default()
    }

    /// The class that a process comes to by what it learned.
    #[inline]
    pub(crate) fn advance(&mut self, live: &mut Live, class: u32, learned: u64) -> u32 {
        match self.next.get(&pair(class, learned)) {
            Some(next) => *next,
            None => self.advance_first(live, class, learned),
        }
    }

    #[cold]
    fn advance_first(&mut self, live: &mut Live, class: u32, learned: u64) -> u32 {
        let mut trials = VecDeque::new();
        let one = self.classes[class as usize].members[0];
        let next = self.run(live, one, learned);
        let next = self.class(live, next, &mut trials);
        self.next.insert(pair(class, learned), next);
        let entry = &mut self.classes[class as usize];
        entry.learned.push(learned);
        trials.extend(entry.members[1..].iter().map(|member| Trial::Member(*member, learned)));
        trials.extend(entry.values.iter().map(|(word, value)| Trial::Word(class, *word, *value, learned)));
        while let Some(trial) = trials.pop_front() {
            live.since += usize::from(live.differs);
            if live.is_over() {
                break;
            }
            let (class, learned, came_to) = match trial {
                Trial::Member(member, learned) => {
                    let Some(class) = self.all[member as usize].class else {
                        unreachable!("it was put into one")
                    };
                    (class, learned, self.run(live, member, learned))
                }
                Trial::Word(class, word, value, learned) => {
                    (class, learned, self.run_with(live, class, word, value, learned))
                }
            };
            let one = self.classes[class as usize].members[0];
            self.class(live, came_to, &mut trials);
            let expected = self.run(live, one, learned);
            if self.key(live, expected) == self.key(live, came_to) {
                continue;
            }
            live.differs = true;
            let site = self.all[one as usize].site;
            match trial {
                // It may be known by now that they are of two classes.
                Trial::Member(member, _) if self.key(live, member) == self.key(live, one) => {
                    self.tell_apart(live, one, member, learned);
                }
                Trial::Member(..) => {}
                Trial::Word(_, word, ..) => live.learn(site, [word]),
            }
        }
        next
    }

    fn key(&self, live: &Live, of: u32) -> u128 {
        let known = &self.all[of as usize];
        let (learned, key) = known.key.get();
        if learned == live.learned {
            return key;
        }
        let key = live.key(&known.local, known.site);
        known.key.set((live.learned, key));
        key
    }

    /// The class of what a process remembers, and what is to be tried for that.
    fn class(&mut self, live: &Live, member: u32, trials: &mut VecDeque<Trial>) -> u32 {
        if let Some(class) = self.all[member as usize].class {
            return class;
        }
        let key = self.key(live, member);
        let known = &mut self.all[member as usize];
        let classes = &mut self.classes;
        let class = *self.by_key.entry(key).or_insert_with(|| {
            let step = step(known.local.request);
            let (members, learned, values) = (Vec::new(), Vec::new(), HashSet::new());
            classes.push(Class { step, members, learned, values });
            classes.len() as u32 - 1
        });
        known.class = Some(class);
        let entry = &mut self.classes[class as usize];
        if entry.members.len() < MEMBERS {
            entry.members.push(member);
            trials.extend(entry.learned.iter().map(|learned| Trial::Member(member, *learned)));
        }
        let one = &self.all[entry.members[0] as usize].local.stack;
        let this = &self.all[member as usize].local.stack;
        for (word, (value, first)) in this.iter().zip(one).enumerate() {
            let word = word as u32;
            if value != first && entry.values.insert((word, *value)) {
                trials.extend(entry.learned.iter().map(|learned| Trial::Word(class, word, *value, *learned)));
            }
        }
        class
    }

    /// Runs the first member of a class with another value in one of its words.
    fn run_with(&mut self, live: &Live, class: u32, word: u32, value: u64, learned: u64) -> u32 {
        let one = self.classes[class as usize].members[0];
        let way = hash(&[one.into(), word.into(), value, learned]) as u64;
        if let Some(known) = self.ways.get(&way) {
            return *known;
        }
        let mut local = self.all[one as usize].local.clone();
        local.stack[word as usize] = value;
        let next = self.world.advance(self.process, &local, learned);
        let to = self.known(live, next);
        self.ways.insert(way, to);
        to
    }

    fn run(&mut self, live: &Live, from: u32, learned: u64) -> u32 {
        let way = pair(from, learned);
        if let Some(known) = self.ways.get(&way) {
            return *known;
        }
        let local = self.world.advance(self.process, &self.all[from as usize].local, learned);
        let to = self.known(live, local);
        self.ways.insert(way, to);
        self.log.push((from, learned, to));
        to
    }

    fn known(&mut self, live: &Live, local: Local) -> u32 {
        let mut words = local.stack.to_vec();
        words.extend(local.held.iter().map(|held| *held as u64));
        describe(&mut words, local.request);
        let content = hash(&words);
        if let Some(known) = self.by_content.get(&content) {
            return *known;
        }
        let site = live.site(&local);
        let failure = (local.request == Request::Panicked).then(|| self.world.failure());
        self.all.push(Known { local, site, key: Cell::new((usize::MAX, 0)), failure, class: None });
        let known = self.all.len() as u32 - 1;
        self.by_content.insert(content, known);
        known
    }

    /// Tries the first member of each class with other values in all words that are not live, at the end of a search.
    pub(crate) fn confirm(&mut self, live: &mut Live) {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for class in 0..self.classes.len() {
            let one = self.classes[class].members[0];
            let mut values: Vec<(u32, u64)> = self.classes[class].values.iter().copied().collect();
            values.sort_unstable();
            for at in 0..self.classes[class].learned.len() * MIXTURES {
                let learned = self.classes[class].learned[at / MIXTURES];
                let mut other = self.all[one as usize].local.clone();
                // Of several values of a word the last one counts, so their order changes, too.
                let by = at % values.len().max(1);
                values.rotate_left(by);
                for (word, value) in &values {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    if random & 1 == 0 {
                        other.stack[*word as usize] = *value;
                    }
                }
                let came_to = self.world.advance(self.process, &other, learned);
                let expected = self.run(live, one, learned);
                if live.key(&came_to, live.site(&came_to)) != self.key(live, expected) {
                    let known = live.words();
                    self.tell_apart_from(live, one, &other, learned);
                    live.differs |= live.words() > known;
                }
            }
        }
    }

    /// Finds the words that make a difference between two members of a class.
    fn tell_apart(&self, live: &mut Live, one: u32, other: u32, learned: u64) {
        let other = self.all[other as usize].local.clone();
        self.tell_apart_from(live, one, &other, learned);
    }

    fn tell_apart_from(&self, live: &mut Live, one: u32, other: &Local, learned: u64) {
        let site = self.all[one as usize].site;
        let one = &self.all[one as usize].local;
        let differ: Vec<usize> = (0..one.stack.len())
            .filter(|word| one.stack[*word] != other.stack[*word] && !live.of(site, *word))
            .collect();
        let outcome = |stack: &[u64]| {
            let local = Local { stack: stack.into(), ..one.clone() };
            let next = self.world.advance(self.process, &local, learned);
            let site = live.site(&next);
            live.key(&next, site)
        };
        let expected = outcome(&one.stack);
        let mut guilty: Vec<usize> = Vec::new();
        if differ.len() > 1 {
            for word in &differ {
                let mut stack = one.stack.clone();
                stack[*word] = other.stack[*word];
                if outcome(&stack) != expected {
                    guilty.push(*word);
                }
            }
        }
        // They may make a difference together only.
        let guilty = if guilty.is_empty() { differ } else { guilty };
        live.learn(site, guilty.iter().map(|word| *word as u32));
    }

    /// Looks for differences in what is known; tells whether there was one.
    fn learn(&mut self, live: &mut Live) -> bool {
        let keys: Vec<u128> = (0..self.all.len() as u32).map(|of| self.key(live, of)).collect();
        let mut seen: HashMap<(u128, u64), (u32, u32)> = HashMap::new();
        let mut has_found = false;
        for (from, learned, to) in &self.log {
            let (one, came_to) = *seen.entry((keys[*from as usize], *learned)).or_insert((*from, *to));
            if keys[came_to as usize] != keys[*to as usize]
                // It may have been found already.
                && self.key(live, one) == self.key(live, *from)
            {
                self.tell_apart(live, one, *from, *learned);
                has_found = true;
            }
        }
        has_found
    }
}

fn step(request: Request) -> Step {
    let (is_alone, is_pure) = match request {
        Request::Begin => (true, true),
        // A death before it is still one.
        Request::Done => (true, false),
        Request::Panicked => (false, false),
        Request::Do(Action::Access(access)) => (access.is_alone, access.change == Modify::Load),
        Request::Do(Action::IsAlive(_)) => (false, true),
        Request::Do(Action::Watch(_)) => (true, false),
        Request::Do(Action::Wait { .. } | Action::Wake { .. }) => (false, false),
    };
    Step { request, is_alone, is_pure }
}
