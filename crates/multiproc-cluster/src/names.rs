//! What things are called on the server.
//!
//! Everything of one pool, one build and one key is below `multiproc.POOL.BUILD-KEY`, so that an agent of another build
//! or with another key never sees a task that it would not understand, and takes none away from others.

use crate::error::{ClusterError, Kind};
use crate::seal;
use multiproc_core::sys::image::image;

/// How much of a build's identity stands in names; all of it is in the key that messages are sealed with.
const SHORT: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) pool: String,
    /// This build, whole and as it stands in names.
    pub(crate) build: String,
    /// The stream of what nobody has taken yet, and of what was given up.
    pub(crate) stream: String,
    pub(crate) dead_stream: String,
    /// The stream of what is too long for a message.
    pub(crate) pieces: String,
    prefix: String,
}

/// The consumer that all agents share.
pub(crate) const CONSUMER: &str = "agents";

impl Names {
    pub(crate) fn new(pool: &str, key: &[u8]) -> Result<Names, ClusterError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if pool.is_empty() || pool.len() > 64 || !pool.chars().all(is_name) {
            let why = "it has letters, digits, `-` and `_`, 1 to 64 of them";
            return Err(Kind::Invalid { what: format!("`{pool}`"), of: "pool's name", why }.into());
        }
        let image = image().map_err(|error| {
            Kind::System { what: "tell which build this is", why: error.to_string() }.because(error)
        })?;
        let build = image.build_id().to_string();
        let short: String = build.chars().take(SHORT).collect();
        let short = format!("{short}-{}", hex(&seal::mark(key, pool)));
        Ok(Names {
            stream: format!("MULTIPROC_{pool}_{short}"),
            dead_stream: format!("MULTIPROC_DEAD_{pool}_{short}"),
            pieces: format!("MULTIPROC_LONG_{pool}_{short}"),
            prefix: format!("multiproc.{pool}.{short}"),
            pool: pool.to_owned(),
            build,
        })
    }

    /// Where a caller's tasks are put.
    pub(crate) fn task(&self, caller: &str) -> String {
        format!("{}.task.{caller}", self.prefix)
    }

    pub(crate) fn tasks(&self) -> String {
        format!("{}.task.*", self.prefix)
    }

    pub(crate) fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// What all agents hear, and one of them.
    pub(crate) fn agents(&self) -> String {
        format!("{}.agents", self.prefix)
    }

    pub(crate) fn agent(&self, agent: &str) -> String {
        format!("{}.agent.{agent}", self.prefix)
    }

    /// What a caller hears.
    pub(crate) fn caller(&self, caller: &str) -> String {
        format!("{}.caller.{caller}", self.prefix)
    }

    /// What every agent of the pool hears, whatever its build.
    pub(crate) fn who(&self) -> String {
        format!("multiproc.{}.who", self.pool)
    }

    /// Where the server tells a caller what became of a message that it has published.
    pub(crate) fn stored(&self, caller: &str) -> String {
        format!("{}.stored.{caller}", self.prefix)
    }

    /// Where an agent gets what it has pulled.
    pub(crate) fn pulled(&self, agent: &str) -> String {
        format!("{}.pulled.{agent}", self.prefix)
    }

    pub(crate) fn pull(&self) -> String {
        format!("$JS.API.CONSUMER.MSG.NEXT.{}.{CONSUMER}", self.stream)
    }

    /// Where the pieces are put of something long.
    pub(crate) fn piece(&self, name: &str) -> String {
        format!("{}.long.{name}", self.prefix)
    }

    pub(crate) fn message(stream: &str) -> String {
        format!("$JS.API.STREAM.MSG.GET.{stream}")
    }

    pub(crate) fn direct(stream: &str) -> String {
        format!("$JS.API.DIRECT.GET.{stream}")
    }

    pub(crate) fn purge(stream: &str) -> String {
        format!("$JS.API.STREAM.PURGE.{stream}")
    }

    pub(crate) fn delete(stream: &str) -> String {
        format!("$JS.API.STREAM.MSG.DELETE.{stream}")
    }
}

/// Bytes as they stand in names.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_have_names_that_are_one_token() {
        for good in ["a", "my-pool_2", &"x".repeat(64)] {
            assert!(Names::new(good, b"key").unwrap().tasks().split('.').count() == 5, "{good}");
        }
        for bad in ["", "a.b", "a b", "*", ">", "ä", &"x".repeat(65)] {
            assert!(Names::new(bad, b"key").unwrap_err().is_invalid(), "{bad}");
        }
    }

    #[test]
    fn who_has_another_key_is_elsewhere() {
        let [one, same, other] = ["key", "key", "kez"].map(|key| Names::new("pool", key.as_bytes()).unwrap());
        assert_eq!((&one.stream, one.pull()), (&same.stream, same.pull()));
        assert!(one.stream != other.stream && one.tasks() != other.tasks() && one.pieces != other.pieces);
        assert_eq!(one.who(), other.who());
    }
}
