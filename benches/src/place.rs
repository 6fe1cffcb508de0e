use crate::sys;

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
        let apart = cpus.get(1).map(|second| Placement { cpus: [Some(first), Some(*second)] });
        Ok(apart.into_iter().chain([Placement { cpus: [Some(first); 2] }]).collect())
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

/// Keeps this thread, and those that it starts from now on, on a processor.
pub(crate) fn stay(cpu: Option<usize>) -> Result<(), String> {
    cpu.map_or(Ok(()), |cpu| sys::pin(cpu).map_err(|error| error.to_string()))
}
