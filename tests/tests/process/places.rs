use crate::constructors::EARLY;
use multiproc_process::{Process, Stdio, set_executable};
use multiproc_tests::{Limit, isolated, isolated_in_role, on_both, raw, role_command};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// This test's role, run from another file.
fn role_from(path: &std::path::Path) -> Command {
    let here = role_command();
    let mut command = Command::new(path);
    command.args(here.get_args()).stdin(std::process::Stdio::null());
    for (name, value) in here.get_envs() {
        command.env(name, value.unwrap());
    }
    command
}

fn this_program() -> PathBuf {
    fs::read_link("/proc/self/exe").unwrap()
}

fn copy_to(folder: &tempfile::TempDir) -> PathBuf {
    let copy = folder.path().join("program");
    fs::copy(this_program(), &copy).unwrap();
    copy
}

fn starts_by_both_methods() {
    use multiproc_process::StartMethod::{ForkServer, Spawn};
    for method in [Spawn, ForkServer] {
        let nested = Process::builder()
            .start_method(method)
            .spawn(1, |n| n + Process::spawn(2, |n| n * 10).unwrap().join().unwrap());
        assert_eq!(nested.unwrap().join().unwrap(), 21, "{method:?}");
    }
}

#[track_caller]
fn assert_passes(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_executable_is_deleted_or_replaced() {
    let role = || {
        let path = this_program();
        assert!(path.ends_with("program"));
        starts_by_both_methods();
        fs::remove_file(&path).unwrap();
        starts_by_both_methods();
        fs::write(&path, "#!/bin/false\n").unwrap();
        starts_by_both_methods();
    };
    isolated_in_role(Limit::default(), role, || {
        let folder = tempfile::tempdir().unwrap();
        assert_passes(role_from(&copy_to(&folder)));
        // Found by a relative name, from where it then goes away.
        let copy = copy_to(&folder);
        let mut command = role_from(&copy);
        command.arg0("program").current_dir(&folder);
        assert_passes(command);
    });
}

#[test]
fn the_directory_changes() {
    isolated(|| {
        for place in ["/", "/proc/self", "/dev"] {
            std::env::set_current_dir(place).unwrap();
            starts_by_both_methods();
        }
    });
}

#[test]
fn the_root_of_a_program_without_standard_descriptors() {
    let role = starts_by_both_methods;
    isolated_in_role(Limit::default(), role, || {
        let here = role_command();
        for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
            let mut command = Command::new("/bin/sh");
            command
                .args(["-c", &format!("exec \"$@\" {closed}"), "sh"])
                .arg(this_program())
                .args(here.get_args());
            for (name, value) in here.get_envs() {
                command.env(name, value.unwrap());
            }
            let status =
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
            assert!(status.unwrap().success(), "{closed}");
        }
    });
}

#[test]
fn descriptors_closed_by_the_program_itself() {
    on_both(Limit::default(), |_| {
        let inherited = || Process::builder().stdin(Stdio::inherit());
        raw::close_number(0);
        let targets = |()| fs::read_link("/proc/self/fd/0").unwrap().display().to_string();
        assert_eq!(inherited().spawn((), targets).unwrap().join().unwrap(), "/dev/null");
        assert_eq!(Process::spawn((), targets).unwrap().join().unwrap(), "/dev/null");
        // As it was, for the count at the end.
        std::mem::forget(fs::File::open("/dev/null").unwrap());
    });
}

#[test]
fn another_path_to_the_same_build() {
    on_both(Limit::default(), |_| {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_to(&folder);
        set_executable(&copy).unwrap();
        let path = |()| this_program();
        let (child, grandchild) = Process::builder()
            .start_method(multiproc_process::StartMethod::Spawn)
            .spawn((), |()| {
                let nested = Process::builder().start_method(multiproc_process::StartMethod::Spawn);
                (this_program(), nested.spawn((), |()| this_program()).unwrap().join().unwrap())
            })
            .unwrap()
            .join()
            .unwrap();
        let copy = copy.canonicalize().unwrap();
        assert_eq!((child, grandchild), (copy.clone(), copy));
        assert!(Process::spawn((), path).unwrap().join().is_ok());
    });
}

#[test]
fn another_program_is_refused() {
    isolated(|| {
        let kind = |path: &str| set_executable(path).unwrap_err().kind();
        assert_eq!(kind("/missing"), std::io::ErrorKind::NotFound);
        assert_eq!(kind("/dev/null"), std::io::ErrorKind::InvalidData);
        let error = set_executable("/bin/sh").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("build"), "{error}");
        // Nothing is changed by it.
        assert_eq!(Process::spawn(1, |n| n + 1).unwrap().join().unwrap(), 2);
    });
}

#[test]
fn a_program_under_the_loader_needs_its_path() {
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
    let role = || {
        let path = std::env::var_os("MULTIPROC_TEST_PROGRAM").unwrap();
        assert_ne!(this_program(), path);
        let error = Process::spawn(1, |n| n + 1).unwrap_err();
        assert!(error.to_string().contains("set_executable"), "{error}");
        set_executable(path).unwrap();
        starts_by_both_methods();
    };
    isolated_in_role(Limit::default(), role, || {
        if !fs::exists(LOADER).unwrap() {
            return; // another system's loader is called otherwise
        }
        let program = this_program();
        let mut command = role_from(LOADER.as_ref());
        let args: Vec<_> = role_command().get_args().map(ToOwned::to_owned).collect();
        let mut under = Command::new(LOADER);
        under.arg(&program).args(args);
        for (name, value) in command.env("MULTIPROC_TEST_PROGRAM", &program).get_envs() {
            under.env(name, value.unwrap());
        }
        assert_passes(under);
    });
}

#[test]
fn a_function_of_a_shared_library_is_refused() {
    isolated(|| {
        let error = Process::spawn((), raw::foreign_function()).unwrap_err();
        assert!(error.is_foreign_function(), "{error}");
        let function = multiproc_process::Func::new(raw::foreign_function());
        let error = Process::spawn(function, drop).unwrap_err();
        assert!(error.is_encode() && error.to_string().contains("shared library"), "{error}");
    });
}

#[test]
fn constructors_cannot_start_processes() {
    let role = || ();
    isolated_in_role(Limit::default(), role, || {
        let output = role_command().env(EARLY, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        // Before the library's own constructor: refused. After it: it works in the program, and what the child's
        // own constructors then try is refused. In neither case does the program multiply.
        assert!(text.contains("first: refused true"), "{text}");
        assert!(text.contains("usual: refused true") || text.contains("usual: joined Ok(21)"), "{text}");
        let refused = text.lines().filter(|line| line.contains("refused true")).count();
        assert!((1..=4).contains(&refused), "{text}");
    });
}
