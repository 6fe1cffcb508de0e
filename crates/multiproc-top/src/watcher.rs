use crate::names;
use crate::objects::{self, Counts, Found};
use crate::proc::{self, Identity, Open, Stat};
use crate::sleepers::{self, Sleepers};
use crate::snapshot::{Process, Snapshot};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Instant;

/// Ticks of processor time in a second, on every system that Linux has today.
const TICKS: f64 = 100.0;
const PAGE: u64 = 4096;

/// Looks at the programs of this user again and again.
///
/// It remembers what rates are made of, and nothing that would keep anything of theirs alive.
///
/// # Examples
///
/// ```
/// let mut watcher = multiproc_top::Watcher::new();
/// let first = watcher.look();
/// let second = watcher.look();
/// assert!(first.seconds.is_none() && second.seconds.is_some());
/// ```
#[derive(Debug, Default)]
pub struct Watcher {
    at: Option<Instant>,
    /// Each with the moment that it was read at: a look at many things takes its time on a busy machine.
    counts: HashMap<Identity, (Counts, Instant)>,
    ticks: HashMap<u32, (u64, Instant)>,
    /// What is known of a process for as long as it lives.
    known: HashMap<(u32, u64), Known>,
}

#[derive(Clone, Debug)]
struct Known {
    /// It was started by this library.
    is_child: bool,
    executable: Option<PathBuf>,
}

/// A file and the processes that have it.
#[derive(Default)]
struct Shared {
    /// The same file, of each of them.
    opens: Vec<Open>,
    used_by: Vec<u32>,
}

impl Watcher {
    /// Makes one that has seen nothing.
    #[must_use]
    pub fn new() -> Watcher {
        Watcher::default()
    }

    /// Looks at everything once; of a process or an object that is gone meanwhile nothing is told.
    pub fn look(&mut self) -> Snapshot {
        let now = Instant::now();
        let seconds = self.at.replace(now).map(|before| seconds(before, now));
        let processes = proc::own_processes();
        let files = self.files(&processes);
        let members = self.members(&processes, &files);
        let mut sleepers = Sleepers::new();
        let mut can_see = true;
        for id in &members {
            can_see &= sleepers::find(*id, &mut sleepers);
        }
        let mut snapshot = Snapshot { seconds, ..Snapshot::default() };
        let mut counts = HashMap::new();
        for (identity, shared) in &files {
            let on = sleepers.get(identity).map_or(&[][..], Vec::as_slice);
            // By whichever of them is still there.
            let mut tries = shared.opens.iter().map(|open| objects::look(open, can_see.then_some(on)));
            let Some(found) = tries.find_map(Result::ok) else { continue };
            self.add(found, *identity, shared, &mut counts, &mut snapshot);
        }
        self.counts = counts;
        self.add_processes(&processes, &members, &files, &sleepers, &mut snapshot);
        snapshot
    }

    /// The memory of ours that processes have open.
    fn files(&self, processes: &BTreeMap<u32, Stat>) -> BTreeMap<Identity, Shared> {
        let names = names::folder();
        let mut files: BTreeMap<Identity, Shared> = BTreeMap::new();
        for id in processes.keys() {
            for open in proc::shared_files(*id, &names) {
                let shared = files.entry(open.identity).or_default();
                shared.opens.push(open);
                shared.used_by.push(*id);
            }
        }
        files
    }

    /// The processes of programs that use the library: who has memory of it, who was started by it, and their family.
    fn members(
        &mut self,
        processes: &BTreeMap<u32, Stat>,
        files: &BTreeMap<Identity, Shared>,
    ) -> BTreeSet<u32> {
        let known: HashMap<(u32, u64), Known> = processes
            .values()
            .map(|stat| {
                let key = (stat.id, stat.start);
                let known = self.known.remove(&key).unwrap_or_else(|| Known {
                    is_child: multiproc_process::peek::is_child(&proc::environment(stat.id)),
                    executable: proc::executable(stat.id),
                });
                (key, known)
            })
            .collect();
        self.known = known;
        let of = |id: u32| processes.get(&id).and_then(|stat| self.known.get(&(id, stat.start)));
        let is_kin = |child: u32, parent: u32| match (of(child), of(parent)) {
            (Some(child), Some(parent)) => {
                child.executable.is_some() && child.executable == parent.executable
            }
            _ => false,
        };
        let is_child = |id: u32| of(id).is_some_and(|known| known.is_child);
        let mut members: BTreeSet<u32> =
            files.values().flat_map(|shared| shared.used_by.iter().copied()).collect();
        members.extend(processes.keys().copied().filter(|id| is_child(*id)));
        let parents: Vec<u32> = members
            .iter()
            .filter(|id| is_child(**id))
            .filter_map(|id| Some((*id, processes.get(id)?.parent)))
            .filter(|(id, parent)| is_kin(*id, *parent))
            .map(|(_, parent)| parent)
            .collect();
        members.extend(parents);
        // Forks have neither.
        loop {
            let more: Vec<u32> = processes
                .values()
                .filter(|stat| !members.contains(&stat.id) && members.contains(&stat.parent))
                .filter(|stat| is_kin(stat.id, stat.parent))
                .map(|stat| stat.id)
                .collect();
            if more.is_empty() {
                return members;
            }
            members.extend(more);
        }
    }

    fn add(
        &self,
        found: Found,
        identity: Identity,
        shared: &Shared,
        counts: &mut HashMap<Identity, (Counts, Instant)>,
        snapshot: &mut Snapshot,
    ) {
        let used_by = shared.used_by.clone();
        let at = Instant::now();
        let since = self.counts.get(&identity).map(|(before, then)| (*before, seconds(*then, at)));
        match found {
            Found::Queue(mut queue, now) => {
                counts.insert(identity, (now, at));
                if let Some((before, seconds)) = since {
                    queue.put_per_second = Some(f64::from(now.put.wrapping_sub(before.put)) / seconds);
                    queue.taken_per_second = Some(f64::from(now.taken.wrapping_sub(before.taken)) / seconds);
                    queue.bytes_per_second = Some(now.bytes.saturating_sub(before.bytes) as f64 / seconds);
                }
                queue.used_by = used_by;
                snapshot.queues.push(queue);
            }
            Found::Pool(mut pool, now) => {
                counts.insert(identity, (now, at));
                if let Some((before, seconds)) = since {
                    pool.tasks_per_second = Some(f64::from(now.taken.wrapping_sub(before.taken)) / seconds);
                }
                snapshot.pools.push(pool);
            }
            Found::Locks(locks) => {
                let with_users = |lock| crate::Lock { used_by: used_by.clone(), ..lock };
                snapshot.locks.extend(locks.into_iter().map(with_users));
            }
            Found::Other(other) => snapshot.others.push(crate::Other { used_by, ..other }),
        }
    }

    fn add_processes(
        &mut self,
        processes: &BTreeMap<u32, Stat>,
        members: &BTreeSet<u32>,
        files: &BTreeMap<Identity, Shared>,
        sleepers: &Sleepers,
        snapshot: &mut Snapshot,
    ) {
        let parent = |id: u32| {
            let parent = processes.get(&id)?.parent;
            members.contains(&parent).then_some(parent)
        };
        // Parents are older than their children, so that this ends; the bound is for numbers that came again.
        let program =
            |id: u32| (0..64).try_fold(id, |id, _| parent(id).ok_or(id)).unwrap_or_else(|root| root);
        let mut ticks = HashMap::new();
        for stat in members.iter().filter_map(|id| processes.get(id)) {
            let known = self.known.get(&(stat.id, stat.start));
            let command =
                known.and_then(|known| known.executable.as_ref()?.file_name()?.to_str().map(proc::plain));
            let waits = files.iter().filter(|(identity, _)| {
                sleepers.get(identity).is_some_and(|on| on.iter().any(|sleeper| sleeper.process == stat.id))
            });
            let cpu = self.ticks.get(&stat.id).zip(stat.at).map(|((before, then), at)| {
                stat.ticks.saturating_sub(*before) as f64 / TICKS / seconds(*then, at) * 100.0
            });
            if let Some(at) = stat.at {
                ticks.insert(stat.id, (stat.ticks, at));
            }
            snapshot.processes.push(Process {
                id: stat.id,
                parent: parent(stat.id),
                program: program(stat.id),
                name: stat.name.clone(),
                command: command.unwrap_or_default(),
                state: stat.state,
                threads: stat.threads,
                cpu,
                memory: stat.pages.saturating_mul(PAGE),
                waits_for: waits.map(|(identity, _)| format!("#{}", identity.1)).collect(),
            });
        }
        self.ticks = ticks;
        snapshot
            .processes
            .sort_by_key(|process| (process.program, process.id != process.program, process.id));
    }
}

/// From then to now, and never nothing.
fn seconds(then: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(then).as_secs_f64().max(1e-6)
}
