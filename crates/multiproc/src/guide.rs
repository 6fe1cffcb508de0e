//! The pages of the guide and the README, so that their code is compiled and run with the other doctests.

macro_rules! pages {
    ($($page:literal => $name:ident)*) => {
        $(#[doc = include_str!(concat!("../../../", $page))] pub struct $name;)*
    };
}

pages! {
    "README.md" => Readme
    "docs/from-python.md" => FromPython
    "docs/from-rust.md" => FromRust
    "docs/start-methods.md" => StartMethods
    "docs/deadlines.md" => Deadlines
    "docs/handles.md" => Handles
    "docs/security.md" => Security
    "docs/troubleshooting.md" => Troubleshooting
}

#[cfg(feature = "cluster")]
pages! {
    "docs/cluster.md" => Cluster
}
