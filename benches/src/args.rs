use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Where the page is that the project shows.
const REPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/report");

/// Runs the benchmarks. A wrong result is an error; a missed goal is only told.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Args {
    /// A fifth of the operations in each round at most, and fewer where they take long: within three minutes.
    #[arg(long)]
    quick: bool,
    /// Only enough to see that everything works; the figures mean nothing.
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Run only the scenarios whose names contain this.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// Print one JSON object per line, for each scenario and system, instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also write a page with charts into this folder.
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = REPORT)]
    pub(crate) report: Option<PathBuf>,
    /// Also draw the charts that the README shows, into docs/figures.
    #[arg(long, conflicts_with_all = ["only", "smoke", "peers"])]
    pub(crate) figures: bool,
    /// Which peers take part: all, or none but the hand-written floors; without this, those that are quick to build.
    #[arg(long, value_enum, default_value_t = Peers::All)]
    pub(crate) peers: Peers,
    /// Count the instructions of our operations instead, and compare them with what they were.
    #[arg(long, conflicts_with_all = ["quick", "smoke", "report", "figures", "rounds"])]
    pub(crate) instructions: bool,
    /// Kill so many processes of each system instead, amid its work: how often do the others hang, and what is lost?
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "200", conflicts_with = "instructions")]
    pub(crate) kills: Option<u64>,
    /// Write down what was counted.
    #[arg(long, requires = "instructions")]
    pub(crate) update: bool,
    /// How often each system takes its turn.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
}

/// Who is measured beside us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peers {
    All,
    None,
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    Full,
    Quick,
    Smoke,
}

impl Args {
    pub(crate) fn effort(&self) -> Effort {
        match (self.quick, self.smoke) {
            (_, true) => Effort::Smoke,
            (true, _) => Effort::Quick,
            _ => Effort::Full,
        }
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(match self.effort() {
            Effort::Full => 9,
            Effort::Quick => 5,
            Effort::Smoke => 1,
        })
    }
}

impl Effort {
    /// For how many milliseconds each end keeps its processor busy before a round.
    pub(crate) fn warm_up(self) -> u64 {
        if self == Effort::Full { 60 } else { 10 }
    }

    /// How long a round may take, by the first attempt at it.
    pub(crate) fn limit(self) -> Option<Duration> {
        (self != Effort::Full).then_some(Duration::from_millis(80))
    }

    /// How many operations make a round, where a full one has `full`.
    pub(crate) fn operations(self, full: u64) -> u64 {
        match self {
            Effort::Full => full,
            Effort::Quick => full.div_ceil(5),
            Effort::Smoke => full.div_ceil(50),
        }
    }
}
