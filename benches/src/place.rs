use crate::sys;
use std::fs;

/// Where the ends of a link run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// `None` is wherever the scheduler puts it.
    cpus: [Option<usize>; 2],
}

impl Placement {
    /// Where the scheduler puts them: for more ends than there are processors.
    pub(crate) const ANYWHERE: Placement = Placement { cpus: [None; 2] };

    /// Both ways to place ends: apart and together.
    pub(crate) fn all() -> crate::Result<Vec<Placement>> {
        let cpus = sys::cpus()?;
        let Some(first) = cpus.first().copied() else { return Err("no processor may be used".into()) };
        let second = second(&cpus, &siblings(first));
        let apart = second.map(|second| Placement { cpus: [Some(first), Some(second)] });
        Ok(apart.into_iter().chain([Placement { cpus: [Some(first); 2] }]).collect())
    }

    /// What is to be said where the two cores are one.
    pub(crate) fn told() -> crate::Result<Option<String>> {
        let apart = Placement::all()?.into_iter().find(|placement| placement.is_apart());
        let Some(Placement { cpus: [Some(first), Some(second)] }) = apart else { return Ok(None) };
        let is_same = siblings(first).contains(&second);
        Ok(is_same.then(|| format!("two cores: {first} and {second}, two threads of one core")))
    }

    /// Only together, for what has one end.
    pub(crate) fn one() -> crate::Result<Placement> {
        Placement::all()?.pop().ok_or_else(|| "no processor may be used".into())
    }

    /// The processor of an end; even ones and odd ones are apart.
    pub(crate) fn cpu(self, end: usize) -> Option<usize> {
        self.cpus[end % 2]
    }

    pub(crate) fn is_apart(self) -> bool {
        self.cpus[0] != self.cpus[1]
    }

    /// The name of a system here.
    pub(crate) fn name(self, system: &str) -> String {
        if self == Placement::ANYWHERE {
            return system.to_owned();
        }
        format!("{system} | {}", if self.is_apart() { "two cores" } else { "one core" })
    }

    /// As arguments of a program.
    pub(crate) fn args(self) -> [String; 2] {
        self.cpus.map(|cpu| cpu.map_or("-1".to_owned(), |cpu| cpu.to_string()))
    }
}

/// The one to be used beside the first: on another core, if there is one.
fn second(cpus: &[usize], siblings: &[usize]) -> Option<usize> {
    let mut others = cpus.iter().skip(1).copied();
    others.clone().find(|cpu| !siblings.contains(cpu)).or_else(|| others.next())
}

/// The processors that are threads of the same core as this one; none where the system does not say.
fn siblings(cpu: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    listed(&fs::read_to_string(path).unwrap_or_default())
}

/// Reads a list such as `0-1,8`.
fn listed(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// Keeps this thread, and those that it starts from now on, on a processor.
pub(crate) fn stay(cpu: Option<usize>) -> Result<(), String> {
    cpu.map_or(Ok(()), |cpu| sys::pin(cpu).map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_on_another_core_if_there_is_one() {
        assert_eq!(listed("0-1,8\n"), [0, 1, 8]);
        assert!(listed("").is_empty());
        assert_eq!(second(&[0, 1, 2, 3], &listed("0-1")), Some(2));
        assert_eq!(second(&[0, 1, 4], &listed("0,4")), Some(1));
        assert_eq!(second(&[2, 3], &listed("2-3")), Some(3));
        assert_eq!(second(&[2, 3], &[]), Some(3));
        assert_eq!(second(&[2], &[2]), None);
    }
}
