//! What is shown, as text.

use crate::names::NamedObject;
use crate::snapshot::{Lock, Pool, Process, Queue, Snapshot};
use std::fmt::Write as _;

/// As wide as no terminal is.
pub(crate) const WIDE: usize = 160;

/// Draws a snapshot in so many columns and lines at most.
pub(crate) fn draw(snapshot: &Snapshot, columns: usize, lines: usize) -> String {
    let mut text = head(snapshot);
    section(&mut text, &processes(snapshot));
    section(&mut text, &queues(snapshot));
    section(&mut text, &pools(snapshot));
    section(&mut text, &locks(snapshot));
    fit(&text, columns, lines)
}

/// Draws the list of named objects.
pub(crate) fn list(objects: &[NamedObject]) -> String {
    if objects.is_empty() {
        return "no named objects\n".to_owned();
    }
    let mut rows = vec![["NAME", "KIND", "TYPE", "MEMORY", "AGE", "HELD BY"].map(str::to_owned)];
    rows.extend(objects.iter().map(|object| {
        let held_by = match (object.held_by.is_empty(), object.is_stale) {
            (false, _) => numbers(&object.held_by),
            (true, true) => "nobody: stale".to_owned(),
            (true, false) => "a message on its way, or another user's process".to_owned(),
        };
        let value = short(&object.value);
        [object.name.clone(), object.kind.clone(), value, bytes(object.memory), age(object.age), held_by]
    }));
    table(&rows, [false, false, false, true, true, false])
}

fn head(snapshot: &Snapshot) -> String {
    let programs = snapshot.processes.iter().filter(|process| process.program == process.id).count();
    let memory: u64 = snapshot.queues.iter().map(|queue| queue.memory).sum::<u64>()
        + snapshot.others.iter().map(|other| other.memory).sum::<u64>();
    format!(
        "multiproc-top: {programs} programs, {} processes, {} queues, {} pools, {} locks, {} shared\n",
        snapshot.processes.len(),
        shown(snapshot).count(),
        snapshot.pools.len(),
        snapshot.locks.len(),
        bytes(memory)
    )
}

/// The queues but for those between pools and their workers.
fn shown(snapshot: &Snapshot) -> impl Iterator<Item = &Queue> {
    snapshot.queues.iter().filter(|queue| queue.flavour != "link")
}

fn processes(snapshot: &Snapshot) -> String {
    let mut rows =
        vec![["PROCESS", "NAME", "STATE", "CPU", "MEMORY", "THREADS", "WAITS FOR"].map(str::to_owned)];
    rows.extend(snapshot.processes.iter().map(|process: &Process| {
        let indent = if process.id == process.program { "" } else { "  " };
        let is_named = process.name != process.command.chars().take(15).collect::<String>();
        let name = if is_named && process.id == process.program && !process.command.is_empty() {
            format!("{} ({})", process.command, process.name)
        } else {
            process.name.clone()
        };
        [
            format!("{indent}{}", process.id),
            name,
            process.state.to_string(),
            process.cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.0}%")),
            bytes(process.memory),
            process.threads.to_string(),
            process.waits_for.join(" "),
        ]
    }));
    table(&rows, [false, false, false, true, true, true, false])
}

fn queues(snapshot: &Snapshot) -> String {
    let titles = [
        "QUEUE", "KIND", "MESSAGES", "DEPTH", "OF", "PUT/s", "TAKEN/s", "B/s", "BYTES", "LEASED", "WAITING",
        "USED BY",
    ];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(shown(snapshot).map(|queue| {
        [
            object(queue.object, queue.name.as_deref()),
            format!("{}{}", queue.flavour, if queue.is_closed { ", closed" } else { "" }),
            short(&queue.message),
            queue.len.to_string(),
            queue.capacity.map_or_else(|| "any".to_owned(), |capacity| capacity.to_string()),
            rate(queue.put_per_second),
            rate(queue.taken_per_second),
            queue.bytes_per_second.map_or_else(|| "-".to_owned(), |rate| bytes(rate as u64)),
            bytes(queue.bytes),
            queue.leased.to_string(),
            waiting(queue),
            numbers(&queue.used_by),
        ]
    }));
    let right = [false, false, false, true, true, true, true, true, true, true, false, false];
    table(&rows, right)
}

/// Who waits at a queue: producers for room, consumers for messages.
fn waiting(queue: &Queue) -> String {
    let of = |count: Option<usize>, may: bool, what: &str| match (count, may) {
        (Some(0), _) | (None, false) => None,
        (Some(count), _) => Some(format!("{count} {what}")),
        (None, true) => Some(format!("{what}?")),
    };
    let put = of(queue.producers_waiting, queue.may_producers_wait, "put");
    let get = of(queue.consumers_waiting, queue.may_consumers_wait, "get");
    put.into_iter().chain(get).collect::<Vec<_>>().join(", ")
}

fn pools(snapshot: &Snapshot) -> String {
    let titles = ["POOL", "OWNER", "TASKS/s", "DONE", "QUEUED", "RUNNING", "FAILED", "RESTARTS", "WORKERS"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(snapshot.pools.iter().map(|pool: &Pool| {
        let name = if pool.name.is_empty() { None } else { Some(pool.name.as_str()) };
        [
            object(pool.object, name),
            pool.owner.to_string(),
            rate(pool.tasks_per_second),
            pool.done.to_string(),
            pool.queued.to_string(),
            pool.under_way.to_string(),
            pool.failed.to_string(),
            pool.restarts.to_string(),
            states(pool),
        ]
    }));
    table(&rows, [false, true, true, true, true, true, true, true, false])
}

/// How many workers are in which state.
fn states(pool: &Pool) -> String {
    let counts = ["busy", "idle", "starting", "leaving"].map(|state| {
        let count = pool.workers.iter().filter(|worker| worker.state == state).count();
        (count > 0).then(|| format!("{count} {state}"))
    });
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn locks(snapshot: &Snapshot) -> String {
    let mut rows = vec![["LOCK", "KIND", "STATE", "HELD BY", "WAITING", "IN", "USED BY"].map(str::to_owned)];
    rows.extend(snapshot.locks.iter().map(|lock: &Lock| {
        let path = if lock.path.is_empty() { String::new() } else { format!(" {}", lock.path) };
        let waiting = match (lock.waiters, lock.is_waited_for) {
            (Some(0), _) | (None, false) => String::new(),
            (Some(count), _) => count.to_string(),
            (None, true) => "?".to_owned(),
        };
        [
            format!("{}{path}", object(lock.object, lock.name.as_deref())),
            lock.kind.clone(),
            lock.state.clone(),
            holders(lock),
            waiting,
            short(&lock.value),
            numbers(&lock.used_by),
        ]
    }));
    table(&rows, [false; 7])
}

fn holders(lock: &Lock) -> String {
    let shown = lock.holders.iter().map(|holder| {
        let mut text = if holder.process == 0 { holder.thread } else { holder.process }.to_string();
        if holder.process != 0 && holder.thread != holder.process {
            let _ = write!(text, "/{}", holder.thread);
        }
        if holder.count > 1 {
            let _ = write!(text, " ×{}", holder.count);
        }
        if holder.is_dead {
            text.push_str(" (dead)");
        }
        text
    });
    some(shown.collect())
}

fn object(number: u64, name: Option<&str>) -> String {
    name.map_or_else(|| format!("#{number}"), str::to_owned)
}

fn numbers(of: &[u32]) -> String {
    some(of.iter().map(u32::to_string).collect())
}

/// The first few of a list.
fn some(list: Vec<String>) -> String {
    const FEW: usize = 6;
    let more = list.len().saturating_sub(FEW);
    let mut text = list[..list.len() - more].join(" ");
    if more > 0 {
        let _ = write!(text, " +{more}");
    }
    text
}

/// A type's name without the paths to it: `alloc::vec::Vec<u8>` is `Vec<u8>`.
fn short(name: &str) -> String {
    let mut text = String::new();
    let mut word = String::new();
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ':' && rest.peek() == Some(&':') {
            rest.next();
            word.clear();
        } else if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else {
            text.push_str(&word);
            word.clear();
            text.push(c);
        }
    }
    text + &word
}

fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".to_owned(),
        Some(rate) if rate < 10_000.0 => format!("{rate:.0}"),
        Some(rate) if rate < 10_000_000.0 => format!("{:.0}k", rate / 1e3),
        Some(rate) => format!("{:.0}M", rate / 1e6),
    }
}

fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "K", "M", "G"] {
        if value < 1024.0 {
            let is_whole = unit == "B" || value >= 10.0;
            return if is_whole { format!("{value:.0}{unit}") } else { format!("{value:.1}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.0}T")
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Rows below their titles, each column as wide as it needs; nothing where there are titles alone.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], right: [bool; N]) -> String {
    if rows.len() < 2 {
        return String::new();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(right) {
            // Writing into a string does not fail.
            let _ = if right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

pub(crate) fn section(text: &mut String, table: &str) {
    if !table.is_empty() {
        text.push('\n');
        text.push_str(table);
    }
}

/// Cuts what does not fit, and says so.
pub(crate) fn fit(text: &str, columns: usize, lines: usize) -> String {
    let all = text.lines().count();
    let mut fitting = String::new();
    for (number, line) in text.lines().enumerate() {
        if number + 1 == lines && all > lines {
            let _ = writeln!(fitting, "… {} lines more", all - number);
            break;
        }
        fitting.extend(line.chars().take(columns));
        fitting.push('\n');
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_numbers_round() {
        assert_eq!(short("(alloc::string::String, core::option::Option<my::Job>)"), "(String, Option<Job>)");
        assert_eq!(short("u64"), "u64");
        assert_eq!([0, 1023, 1024, 20 << 10, 3 << 30].map(bytes), ["0B", "1023B", "1.0K", "20K", "3.0G"]);
        assert_eq!([None, Some(12.4), Some(123_456.0)].map(rate), ["-", "12", "123k"]);
        assert_eq!([5, 500, 50_000, 5_000_000].map(age), ["5s", "8m", "13h", "57d"]);
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(fit("abc\nd\n", 2, 9), "ab\nd\n");
        assert_eq!(fit("a\nb\nc\n", 20, 2), "a\n… 2 lines more\n");
    }

    #[test]
    fn a_snapshot_is_drawn() {
        let queue = Queue {
            object: 7,
            flavour: "queue".to_owned(),
            message: "alloc::string::String".to_owned(),
            len: 3,
            put_per_second: Some(1500.0),
            producers_waiting: Some(2),
            used_by: vec![1, 2, 3, 4, 5, 6, 7],
            ..Queue::default()
        };
        let link = Queue { flavour: "link".to_owned(), ..queue.clone() };
        let snapshot = Snapshot { queues: vec![queue, link], ..Snapshot::default() };
        let text = draw(&snapshot, WIDE, 50);
        let row = text.lines().find(|line| line.starts_with("#7")).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells[..6], ["#7", "queue", "String", "3", "any", "1500"]);
        assert!(row.ends_with("2 put    1 2 3 4 5 6 +1"), "{row}");
        assert_eq!(text.matches("#7").count(), 1);
        assert!(!text.contains("LOCK"));
    }
}
