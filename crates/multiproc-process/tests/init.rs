//! A program that calls `init` at the top of `main`: without the feature `hook` its children start there, with it
//! `init` does nothing. It has no test harness, whose `main` would not call it.

use multiproc_process::{Process, StartMethod, current_process, init, parent_process};

fn main() {
    let before = Process::spawn((), |()| ());
    if cfg!(feature = "hook") {
        drop(before.map(Process::join));
    } else {
        let error = before.map(|_| ()).expect_err("a child would come to this line as well");
        assert!(error.is_not_ready() && error.to_string().contains("init()"), "{error}");
    }
    init();
    init(); // once more does no harm
    assert!(parent_process().is_none(), "a child came past `init`");

    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        let builder = Process::builder().name("child").start_method(method);
        let child = builder.spawn(20, |n: u32| {
            let nested = Process::spawn(n, |n| n + 1).map(Process::join);
            let nested = nested.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            Ok::<_, String>((nested, current_process().name().to_owned()))
        });
        let answer = child.map(Process::join).expect("it starts").expect("it ends well");
        assert_eq!(answer, Ok((21, "child".to_owned())), "{method:?}");
    }
}
