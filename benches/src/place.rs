use crate::{Result, sys};

/// Where the ends of a link run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) cpus: [usize; 2],
}

impl Placement {
    /// Both ways to place ends: apart and together.
    pub(crate) fn all() -> Result<Vec<Placement>> {
        let cpus = sys::cpus()?;
        let Some(first) = cpus.first().copied() else { return Err("no processor may be used".into()) };
        let apart = cpus.get(1).map(|second| Placement { cpus: [first, *second] });
        Ok(apart.into_iter().chain([Placement { cpus: [first; 2] }]).collect())
    }

    /// Only together, for what has one end.
    pub(crate) fn one() -> Result<Placement> {
        Placement::all()?.pop().ok_or_else(|| "no processor may be used".into())
    }

    /// The processor of an end; even ones and odd ones are apart.
    pub(crate) fn cpu(self, end: usize) -> usize {
        self.cpus[end % 2]
    }

    pub(crate) fn is_apart(self) -> bool {
        self.cpus[0] != self.cpus[1]
    }

    /// The name of a system here.
    pub(crate) fn name(self, system: &str) -> String {
        format!("{system} | {}", if self.is_apart() { "two cores" } else { "one core" })
    }

    /// As arguments of a program.
    pub(crate) fn args(self) -> [String; 2] {
        self.cpus.map(|cpu| cpu.to_string())
    }
}
