use super::{KEY, LONG};
use multiproc_core::sys::peer::effective_user;
use multiproc_pipe::{Address, ConnectOptions, Connection, Listener, connect};
use multiproc_tests::{Limit, isolated, isolated_in_role, role_command, skip};
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

/// Somebody who is nobody.
const NOBODY: u32 = 65_534;
const PLACE: &str = "MULTIPROC_TEST_PLACE";

/// Tells whether this test may play other users; says so if not.
fn is_root(what: &str) -> bool {
    let is_root = effective_user() == 0;
    if !is_root {
        skip(what, "other users can be played by root alone");
    }
    is_root
}

/// An abstract name, which everybody can reach.
fn open_place() -> Address {
    Address::abstract_name(format!("multiproc-open-{}", std::process::id()))
}

fn place() -> Address {
    Address::abstract_name(std::env::var(PLACE).unwrap())
}

fn name(address: &Address) -> String {
    address.to_string().trim_start_matches('@').to_owned()
}

#[test]
fn another_users_client_is_not_let_in_even_with_the_key() {
    fn client() {
        let error = connect::<u8, u8>(place(), KEY).unwrap_err();
        // The listener may be gone before a word, or be believed not to be one's own.
        assert!(error.is_closed() || error.is_stranger(), "{error}");
        let options = ConnectOptions::new().allow_any_user();
        let error = options.connect::<u8, u8>(place(), KEY).unwrap_err();
        assert!(error.is_closed(), "{error}");
    }
    isolated_in_role(Limit::default(), client, || {
        if !is_root("another user's client") {
            return;
        }
        let castle = Listener::bind(open_place(), KEY).unwrap();
        let mut child =
            role_command().uid(NOBODY).gid(NOBODY).env(PLACE, name(castle.address())).spawn().unwrap();
        thread::scope(|scope| {
            let child = scope.spawn(|| child.wait().unwrap());
            while !child.is_finished() {
                let accepted = castle.accept_timeout::<u8, u8>(Duration::from_millis(20));
                assert!(accepted.unwrap_err().is_timeout(), "another user got in");
            }
            assert!(child.join().unwrap().success());
        });
        assert_eq!((castle.stats().strangers, castle.stats().accepted), (2, 0), "{:?}", castle.stats());
    });
}

#[test]
fn another_user_who_is_named_is_let_in() {
    fn client() {
        let options = ConnectOptions::new().allow_user(0);
        let client: Connection<u8, u8> = options.connect(place(), KEY).unwrap();
        client.send(7).unwrap();
    }
    isolated_in_role(Limit::default(), client, || {
        if !is_root("a named user's client") {
            return;
        }
        let castle = Listener::builder().allow_user(NOBODY).bind(open_place(), KEY).unwrap();
        let mut child =
            role_command().uid(NOBODY).gid(NOBODY).env(PLACE, name(castle.address())).spawn().unwrap();
        let server: Connection<u8, u8> = castle.accept_timeout(LONG).unwrap();
        assert_eq!(server.recv().unwrap(), 7);
        assert_eq!(server.peer_credentials().unwrap().unwrap().user, NOBODY);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn another_users_listener_gets_no_answer() {
    /// Is there first, relays nothing, and tells whether it was told anything.
    fn thief() {
        let Address::Abstract(name) = place() else { unreachable!("it is abstract") };
        let at = SocketAddr::from_abstract_name(&name).unwrap();
        let trap = UnixListener::bind_addr(&at).unwrap();
        println!("ready");
        let (mut stream, _) = trap.accept().unwrap();
        let question = [super::CHALLENGE, b"{sha256}", &[9; 40]].concat();
        let asked = super::put(&mut stream, &question);
        assert!(asked.is_err() || super::get(&mut stream).is_err(), "it was answered");
        // The name is taken for as long as it is asked for.
        io::stdin().read_line(&mut String::new()).unwrap();
    }
    isolated_in_role(Limit::default(), thief, || {
        if !is_root("another user's listener") {
            return;
        }
        let at = open_place();
        let mut command = role_command();
        command.uid(NOBODY).gid(NOBODY).env(PLACE, name(&at)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while !lines.next().unwrap().unwrap().ends_with("ready") {}
        let error = connect::<u8, u8>(&at, KEY).unwrap_err();
        assert!(error.is_stranger() && error.to_string().contains("65534"), "{error}");
        let error = Listener::bind(&at, KEY).unwrap_err();
        assert!(error.is_in_use(), "{error}");
        drop(child.stdin.take());
        lines.for_each(drop);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn squatted_paths() {
    isolated(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        // A file, a folder, and links to nowhere, to a file and to a socket that somebody listens at.
        let file = folder.path().join("file");
        fs::write(&file, b"precious").unwrap();
        let live = folder.path().join("live");
        let _listener = Listener::bind(&live, KEY).unwrap();
        let refused = |what: &str| {
            let error = Listener::bind(&path, KEY).unwrap_err();
            assert!(error.is_unsafe_place(), "{what}: {error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{what}: {error}");
            assert!(fs::symlink_metadata(&path).is_ok(), "{what} was removed");
        };
        fs::write(&path, b"precious").unwrap();
        refused("a file");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused("a folder");
        fs::remove_dir(&path).unwrap();
        for target in ["nowhere", file.to_str().unwrap(), live.to_str().unwrap()] {
            symlink(target, &path).unwrap();
            refused("a link");
            fs::remove_file(&path).unwrap();
        }
        // A link to a socket whose owner is gone must not have that one removed either.
        let dead = folder.path().join("dead");
        drop(UnixListener::bind(&dead).unwrap());
        symlink(&dead, &path).unwrap();
        refused("a link to a dead socket");
        assert!(dead.exists());
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    });
}

#[test]
fn another_users_socket_is_not_replaced() {
    isolated(|| {
        if !is_root("another user's socket") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        let error = Listener::bind(&path, KEY).unwrap_err();
        assert!(error.is_unsafe_place() && error.to_string().contains("65534"), "{error}");
        assert!(path.exists());
    });
}

#[test]
fn folders_in_which_others_could_replace_the_socket() {
    isolated(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        for (mode, is_good) in
            [(0o700, true), (0o755, true), (0o1777, true), (0o777, false), (0o770, false), (0o702, false)]
        {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            match Listener::bind(&path, KEY) {
                Ok(_) => assert!(is_good, "{mode:o}"),
                Err(error) => {
                    assert!(!is_good && error.is_unsafe_place(), "{mode:o}: {error}");
                    assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
                }
            }
            assert!(!path.exists(), "{mode:o}");
        }
        if is_root("another user's folder") {
            fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
            chown(folder.path(), Some(NOBODY), None).unwrap();
            let error = Listener::bind(&path, KEY).unwrap_err();
            assert!(error.is_unsafe_place() && error.to_string().contains("65534"), "{error}");
        }
    });
}
