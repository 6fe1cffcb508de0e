//! Runs the examples as users do, one after the other recipe, and compares what they print with `expected/`.
//!
//! `cargo test` builds the examples of a package before it runs the package's tests. A file of `expected/` begins with
//! the number of its recipe; `expect.rs` tells how it is written, `examples/README.md` what each recipe shows.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod expect;
mod run;

use expect::Expectation;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// How many recipes there are.
const RECIPES: u32 = 56;

/// Runs what the file of this name says.
#[track_caller]
fn check(name: &str) {
    let expectation = expectation(name);
    let said = run::run(&expectation.run);
    let mut problems = said.problems;
    problems.extend(expectation.problems(&said.out, &said.err));
    assert!(
        problems.is_empty(),
        "{}:\n{}\n--- printed\n{}--- stderr\n{}",
        expectation.run,
        problems.join("\n"),
        said.out,
        said.err
    );
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recipes/expected")
}

fn expectation(name: &str) -> Expectation {
    Expectation::parse(&fs::read_to_string(folder().join(name).with_extension("txt")).unwrap())
}

/// A test for each file, and their names.
macro_rules! recipes {
    ($($test:ident $name:literal)*) => {
        $(#[test] fn $test() { check($name); })*

        const NAMES: &[&str] = &[$($name),*];
    };
}

recipes! {
    r01 "01"
    r01_better "01-better"
    r02 "02"
    r03 "03"
    r04 "04"
    r05 "05"
    r05_better "05-better"
    r06 "06"
    r07 "07"
    r08 "08"
    r09 "09"
    r09_better "09-better"
    r10 "10"
    r11 "11"
    r12 "12"
    r12_better "12-better"
    r12_manager "12-manager"
    r13 "13"
    r13_better "13-better"
    r14 "14"
    r15 "15"
    r16 "16"
    r17 "17"
    r18 "18"
    r19 "19"
    r20 "20"
    r21 "21"
    r21_better "21-better"
    r22 "22"
    r23 "23"
    r23_better "23-better"
    r24 "24"
    r24_better "24-better"
    r25 "25"
    r26 "26"
    r26_better "26-better"
    r27 "27"
    r27_better "27-better"
    r28 "28"
    r29 "29"
    r30 "30"
    r31 "31"
    r32 "32"
    r32_better "32-better"
    r33 "33"
    r34 "34"
    r35 "35"
    r36 "36"
    r36_better "36-better"
    r37 "37"
    r38 "38"
    r39 "39"
    r39_better "39-better"
    r40 "40"
    r41 "41"
    r42 "42"
    r43 "43"
    r43_better "43-better"
    r43_manager "43-manager"
    r44 "44"
    r44_better "44-better"
    r45 "45"
    r45_manager "45-manager"
    r46 "46"
    r47 "47"
    r47_better "47-better"
    r48 "48"
    r48_better "48-better"
    r49 "49"
    r50 "50"
    r50_manager "50-manager"
    r51 "51"
    r52 "52"
    r52_better "52-better"
    r53 "53"
    r54 "54"
    r54_better "54-better"
    r55 "55"
    r55_better "55-better"
    r56 "56"
    r56_better "56-better"
}

#[test]
fn every_file_is_run() {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let files: BTreeSet<String> =
        files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(files, NAMES.iter().map(|name| (*name).to_owned()).collect());
}

/// The table of `examples/README.md` has a row for each recipe, and says the command that is run here.
#[test]
fn the_table_is_complete() {
    let table = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/README.md");
    let table = fs::read_to_string(table).unwrap();
    for number in 1..=RECIPES {
        let row = table.lines().find(|line| line.starts_with(&format!("| {number:02} |"))).unwrap();
        let command = row.split('`').nth(1).unwrap();
        let name = format!("{number:02}");
        assert!(NAMES.contains(&&*name), "recipe {name} is not run");
        assert_eq!(expectation(&name).run, command, "recipe {name}");
        for variant in ["better", "manager"] {
            let name = format!("{number:02}-{variant}");
            assert_eq!(NAMES.contains(&&*name), row.contains(&format!("`--{variant}`")), "{row}");
            if NAMES.contains(&&*name) {
                assert_eq!(expectation(&name).run, format!("{command} --{variant}"), "{row}");
            }
        }
    }
}
