use multiproc_tests::proc;
use std::os::unix::fs::MetadataExt;

/// What this process may have grown by since it was warm, for the allocator's sake.
const GROWN: u64 = 4 << 20;

/// What must not grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    own: Process,
    server: Process,
    /// Bytes of the library's in `/dev/shm`.
    named: u64,
    children: usize,
}

#[derive(Clone, Copy, Debug)]
struct Process {
    memory: u64,
    shared: u64,
    descriptors: usize,
}

impl Size {
    /// Looks at this process, at the fork server and at names.
    pub(crate) fn now(server: u32) -> Size {
        let len = |name: &String| std::fs::metadata(name).map_or(0, |file| file.blocks() * 512);
        Size {
            own: Process::now(std::process::id()),
            server: Process::now(server),
            named: proc::shared_names().iter().map(len).sum(),
            children: proc::own_children().len(),
        }
    }

    /// Fails if there is more than there was.
    pub(crate) fn check(&self, warm: &Size) {
        self.own.check(&warm.own);
        self.server.check(&warm.server);
        assert!(self.named <= warm.named, "{warm:?} grew to {self:?}");
        assert_eq!(self.children, warm.children);
    }
}

impl Process {
    fn now(id: u32) -> Process {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
        };
        Process {
            memory: field("RssAnon:"),
            shared: field("RssShmem:"),
            descriptors: std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count(),
        }
    }

    fn check(&self, warm: &Process) {
        assert!(self.memory <= warm.memory + GROWN, "{warm:?} grew to {self:?}");
        assert!(self.shared <= warm.shared + GROWN / 4, "{warm:?} grew to {self:?}");
        // Some more for a moment: those of a worker that is being replaced.
        assert!(self.descriptors <= warm.descriptors + 4, "{warm:?} grew to {self:?}");
    }
}
