//! Where calls are put together before anybody looks at them.
//!
//! Calls of one function that follow each other become one work: they share its code, its sink, and most of what it
//! takes to hand them on. So a call costs no memory of its own and no system call while the pool is busy.

use crate::block::Block;
use crate::engine::{Code, Sink, Work};
use crate::options::TaskOptions;
use multiproc_core::codec::Encoder;
use std::sync::Arc;
use std::time::Instant;

/// The most calls that share a block, and the most bytes of their arguments.
const CALLS: usize = 256;
const BYTES: usize = 64 << 10;
/// How many buffers of long arguments are kept for the next ones, and how long each may be: a fresh one costs as many
/// page faults as it has pages.
const SPARES: usize = 4;
const LARGEST_SPARE: usize = 4 << 20;

/// What was handed in.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) works: Vec<Work>,
    /// Calls that more can be added to; younger than all works.
    open: Option<(Work, Arc<Block>)>,
    pub(crate) is_closed: bool,
    /// The function of the last call, which is likely to be that of the next.
    code: Option<Arc<Code>>,
    /// Buffers of long arguments that are done with.
    spares: Vec<Vec<u8>>,
}

impl Inbox {
    /// Keeps the buffer of arguments that are done with, if it is a long one.
    pub(crate) fn keep(&mut self, bytes: Vec<u8>) {
        if self.spares.len() < SPARES && (BYTES..=LARGEST_SPARE).contains(&bytes.capacity()) {
            self.spares.push(bytes);
        }
    }

    /// Takes everything out.
    pub(crate) fn take_in(&mut self, mut take: impl FnMut(Work)) {
        self.works.drain(..).for_each(&mut take);
        if let Some((work, _)) = self.open.take() {
            take(work);
        }
    }

    /// The code of a function, made by `make` if it is another one than before.
    pub(crate) fn code<E>(
        &mut self,
        key: (usize, usize),
        make: impl FnOnce() -> Result<Code, E>,
    ) -> Result<Arc<Code>, E> {
        if let Some(code) = self.code.as_ref().filter(|code| code.key == key) {
            return Ok(Arc::clone(code));
        }
        let code = Arc::new(make()?);
        self.code = Some(Arc::clone(&code));
        Ok(code)
    }

    /// Adds a call whose arguments were encoded; gives its block and its place in it.
    pub(crate) fn call<E>(
        &mut self,
        key: (usize, usize),
        make: impl FnOnce() -> Result<Code, E>,
        options: Option<&Arc<TaskOptions>>,
        encoder: &mut Encoder,
    ) -> Result<(Arc<Block>, u32), E> {
        let is_alone = encoder.has_handles();
        if !is_alone
            && let Some((work, block)) = &mut self.open
            && work.code.key == key
            && is_same(work.options.as_ref(), options)
            && work.ends.len() < CALLS
            && work.bytes.len() < BYTES
        {
            work.bytes.extend_from_slice(encoder.bytes());
            work.ends.push(work.bytes.len());
            return Ok((Arc::clone(block), work.ends.len() as u32 - 1));
        }
        let code = self.code(key, make)?;
        self.works.extend(self.open.take().map(|(work, _)| work));
        let block = Arc::new(Block::default());
        let sink: Arc<dyn Sink> = Arc::clone(&block) as Arc<dyn Sink>;
        // A long one is not copied: its buffer would not be kept anyway.
        let is_long = encoder.bytes().len() > BYTES;
        let bytes = if is_alone || is_long {
            std::mem::replace(encoder.bytes(), self.spares.pop().unwrap_or_default())
        } else {
            encoder.bytes().clone()
        };
        let work = Work {
            sink,
            code,
            options: options.cloned(),
            framed: true,
            ends: vec![bytes.len()],
            bytes,
            fds: encoder.take_fds(),
            base: 0,
            since: Instant::now(),
            attempts: 0,
            kills: 0,
            tries: 0,
            alone: is_alone,
            is_divisible: true,
        };
        if is_alone {
            self.works.push(work);
        } else {
            self.open = Some((work, Arc::clone(&block)));
        }
        Ok((block, 0))
    }
}

fn is_same(one: Option<&Arc<TaskOptions>>, other: Option<&Arc<TaskOptions>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}
