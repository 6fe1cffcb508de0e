//! Builds the peers that are written in C++, where there is a compiler and Boost, and tells which compiler made all else.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=COMPILER={} for {target}", version.unwrap_or_default());
    println!("cargo::rerun-if-changed=peers");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CXX");
    build("boost", "BOOST_PEER");
    build("kills", "BOOST_KILLS");
}

/// Builds `peers/NAME.cpp` into a program of its own, and not a part of this one: the C++ library would be loaded at
/// every start that is timed. Its path is in the variable, or nothing.
fn build(name: &str, variable: &str) {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let source = format!("peers/{name}.cpp");
    let program = Path::new(&env::var("OUT_DIR").unwrap_or_default()).join(name);
    let mut command = Command::new(&compiler);
    command.args(["-std=c++17", "-O2", &source, "-lpthread", "-lrt", "-o"]).arg(&program);
    let is_built = command.output().is_ok_and(|output| output.status.success());
    let path = if is_built { program.to_string_lossy().into_owned() } else { String::new() };
    println!("cargo::rustc-env={variable}={path}");
    if !is_built {
        println!("cargo::warning={source} was not built with `{compiler}`: Boost will be absent");
    }
}
