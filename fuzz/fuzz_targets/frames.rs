//! Frames in pieces of any size, with descriptors anywhere, beside a plain reference of a few lines.
//!
//! The input is a program: bytes are planned, pushed into a socket, read from its other end. Whatever is read is what
//! [`reference`] says of the bytes that went: the same messages with the same descriptors, torn ones torn, the end the
//! end. Nothing behind a frame is read, nothing is open afterwards, and memory grows with what came.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use multiproc_core::Deadline;
use multiproc_core::sys::{fd, socket};
use multiproc_fuzz::{fds, heap};
use multiproc_pipe::frame::{Filled, Frame, FrameError, Outgoing, Reader};
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};

/// How far into a body descriptors are looked for, if its header had some.
const CARRIERS: usize = 1024;
/// What the kernel lets one message carry.
const BATCH: usize = 253;
/// How many descriptors one program may send: fewer than a process may usually open.
const MOST_FDS: usize = 700;
/// What a reader may take on a header's word, and what is around it.
const ROOM: usize = (2 << 20) + (64 << 10);

#[derive(Arbitrary, Debug)]
struct Program {
    limit: Limit,
    max_fds: Option<u8>,
    steps: Vec<Step>,
    end: End,
}

#[derive(Arbitrary, Debug)]
enum Limit {
    None,
    Short(u16),
    Long(u32),
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// Plans a frame.
    Frame {
        len: u16,
        seed: u8,
        long: bool,
    },
    /// Plans a header that says this.
    Header(i32),
    /// Plans one of the long form.
    LongHeader(u64),
    /// Plans these bytes.
    Raw(Vec<u8>),
    /// Sends some of what is planned, with so many descriptors.
    Push {
        len: u16,
        fds: u8,
    },
    /// Has our own writer begin a frame.
    Write {
        len: u32,
        seed: u8,
        fds: u16,
    },
    /// Has it go on.
    WriteOn,
    Read,
    ReadInto(u16),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum End {
    /// The writer is closed, and all is read.
    Close,
    /// What a reader has not taken is still there, for another way of reading.
    Raw,
}

/// Bytes that tell where they are, by copies: made one by one they would take longer than all else.
fn body(len: usize, seed: u8) -> Vec<u8> {
    let piece: Vec<u8> = (0..251).map(|at: u8| at.wrapping_mul(31).wrapping_add(seed)).collect();
    let mut body = piece.repeat(len.div_ceil(piece.len()));
    body.truncate(len);
    body
}

/// What the reference says of the bytes that are there.
#[derive(Debug, PartialEq)]
enum Says {
    /// More must come.
    Pending,
    Frame {
        header: usize,
        len: usize,
    },
    Eof,
    Torn {
        got: usize,
        expected: usize,
    },
    BadHeader(i32),
    TooLong(u64),
}

/// The format as its page describes it.
fn reference(bytes: &[u8], has_ended: bool, limit: usize) -> Says {
    let cut = |got, expected| if has_ended { Says::Torn { got, expected } } else { Says::Pending };
    let Some((short, rest)) = bytes.split_first_chunk::<4>() else {
        return if has_ended && bytes.is_empty() { Says::Eof } else { cut(bytes.len(), 4) };
    };
    let (header, length, rest) = match i32::from_be_bytes(*short) {
        -1 => match rest.split_first_chunk::<8>() {
            Some((long, rest)) => (12, u64::from_be_bytes(*long), rest),
            None => return cut(bytes.len(), 12),
        },
        short @ ..0 => return Says::BadHeader(short),
        short => (4, short as u64, rest),
    };
    match usize::try_from(length) {
        Ok(len) if len > limit => Says::TooLong(length),
        Ok(len) if rest.len() < len => cut(rest.len(), len),
        Ok(len) => Says::Frame { header, len },
        Err(_) => Says::TooLong(length),
    }
}

/// A frame of our own writer that is under way.
struct Written {
    outgoing: Outgoing,
    body: Vec<u8>,
    first: usize,
    fds: usize,
}

impl Written {
    fn fds(&self) -> Vec<BorrowedFd<'static>> {
        (self.first..self.first + self.fds).map(fds::marked).collect()
    }

    /// The frame's bytes, and which descriptors go with which of them.
    fn sent(&self) -> (Vec<u8>, Vec<(usize, Vec<usize>)>) {
        let bytes = [&(self.body.len() as u32).to_be_bytes(), &self.body[..]].concat();
        let numbers: Vec<usize> = (self.first..self.first + self.fds).map(|n| n % fds::MARKED).collect();
        let batches = numbers.chunks(BATCH).map(<[usize]>::to_vec).enumerate();
        (bytes, batches.collect())
    }
}

struct Machine {
    limit: usize,
    max_fds: Option<usize>,
    writer: Option<OwnedFd>,
    reader: OwnedFd,
    frames: Reader,
    /// What is to be sent.
    plan: Vec<u8>,
    written: Option<Written>,
    /// What has gone and belongs to no frame that was read.
    stream: Vec<u8>,
    /// Which descriptors went with which byte of it.
    attached: Vec<(usize, Vec<usize>)>,
    has_ended: bool,
    /// Whether the reader has a part of the body, so that it goes on where that is.
    has_body: bool,
    fds: usize,
}

impl Machine {
    fn new(program: &Program) -> Machine {
        let (writer, reader) = fd::socket_pair().expect("a socket pair");
        let limit = match program.limit {
            Limit::None => usize::MAX,
            Limit::Short(limit) => usize::from(limit),
            Limit::Long(limit) => limit as usize,
        };
        let max_fds = program.max_fds.map(usize::from);
        Machine {
            limit,
            max_fds,
            writer: Some(writer),
            reader,
            frames: max_fds.map_or_else(Reader::new, Reader::with_max_fds),
            plan: Vec::new(),
            written: None,
            stream: Vec::new(),
            attached: Vec::new(),
            has_ended: false,
            has_body: false,
            fds: 0,
        }
    }

    fn push(&mut self, len: usize, wanted: usize) {
        let piece = &self.plan[..len.min(self.plan.len())];
        let (Some(writer), false) = (&self.writer, piece.is_empty() || self.written.is_some()) else {
            return;
        };
        let first = self.fds;
        let count = wanted.min(MOST_FDS - first);
        let borrowed: Vec<BorrowedFd<'_>> = (first..first + count).map(fds::marked).collect();
        match fd::send(writer, &[IoSlice::new(piece)], &borrowed, false) {
            Ok(went) => {
                if count > 0 {
                    let numbers = (first..first + count).map(|number| number % fds::MARKED);
                    self.attached.push((self.stream.len(), numbers.collect()));
                    self.fds += count;
                }
                self.stream.extend(self.plan.drain(..went));
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    fn write(&mut self, len: usize, seed: u8, wanted: usize) {
        while !self.plan.is_empty() && self.written.is_none() {
            let before = self.plan.len();
            self.push(usize::MAX, 0);
            if self.plan.len() == before {
                return;
            }
        }
        // Behind half a frame it would be that one's body.
        if self.written.is_some() || !self.is_whole() {
            return;
        }
        let first = self.fds;
        let count = wanted.min(MOST_FDS - first);
        self.fds += count;
        let result = Outgoing::new(len, count);
        assert_eq!(result.is_err(), count.div_ceil(BATCH) > len + 4);
        let Ok(outgoing) = result else { return };
        self.written = Some(Written { outgoing, body: body(len, seed), first, fds: count });
        self.write_on();
    }

    /// Tells whether what has gone ends with a frame.
    fn is_whole(&self) -> bool {
        let mut rest = &self.stream[..];
        while let Says::Frame { header, len } = reference(rest, false, self.limit) {
            rest = &rest[header + len..];
        }
        rest.is_empty()
    }

    fn write_on(&mut self) {
        let (Some(writer), Some(written)) = (&self.writer, &mut self.written) else { return };
        let fds = written.fds();
        match written.outgoing.advance(writer, &written.body, &fds, false) {
            Ok(()) => {
                let base = self.stream.len();
                let (bytes, batches) = written.sent();
                self.stream.extend(bytes);
                self.attached.extend(batches.into_iter().map(|(at, numbers)| (base + at, numbers)));
                self.written = None;
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    /// The descriptors of the first frame, or `None` where there are too many.
    fn fds_of(&self, header: usize, len: usize) -> Option<Vec<usize>> {
        let mut numbers = Vec::new();
        let take = |range: std::ops::Range<usize>, numbers: &mut Vec<usize>| {
            let within = self.attached.iter().filter(|(at, _)| range.contains(at));
            numbers.extend(within.flat_map(|(_, more)| more));
            self.max_fds.is_none_or(|most| numbers.len() <= most)
        };
        let mut is_fine = take(0..header, &mut numbers);
        if is_fine && !numbers.is_empty() {
            is_fine = take(header..header + len.min(CARRIERS), &mut numbers);
        }
        is_fine.then_some(numbers)
    }

    /// Forgets a frame that was read.
    fn consume(&mut self, len: usize) {
        self.stream.drain(..len);
        self.attached.retain(|(at, _)| *at >= len);
        self.attached.iter_mut().for_each(|(at, _)| *at -= len);
        self.has_body = false;
    }

    fn says(&self) -> Says {
        reference(&self.stream, self.has_ended, self.limit)
    }

    /// Reads without waiting; tells whether there may be more.
    fn read(&mut self) -> bool {
        let came = self.stream.len() + self.written.as_ref().map_or(0, |written| written.body.len());
        let (found, peak) = heap::peak_of(|| self.frames.read(&self.reader, self.limit, Deadline::now()));
        assert!(peak <= 2 * came + ROOM, "{peak} bytes of memory for {came} that came");
        let says = self.says();
        match (found, says) {
            (Ok(Frame { body, fds }), Says::Frame { header, len }) => {
                assert!(body == self.stream[header..header + len], "another body");
                let numbers = fds.into_iter().map(fds::number).collect();
                assert_eq!(Some(numbers), self.fds_of(header, len));
                self.consume(header + len);
                true
            }
            (Err(FrameError::TooManyDescriptors { limit }), Says::Frame { header, len }) => {
                assert_eq!(Some(limit), self.max_fds);
                assert_eq!(self.fds_of(header, len), None);
                self.consume(header + len);
                true
            }
            (Err(FrameError::TimedOut), Says::Pending) => {
                let is_begun = !self.stream.is_empty();
                // Of a frame that our writer has not ended, nobody knows how much has gone.
                assert!(self.written.is_some() || self.frames.is_amid_frame() == is_begun);
                if is_begun || self.written.is_some() {
                    self.has_body = true;
                }
                false
            }
            (Err(error), says) => {
                self.check_error(error, &says);
                false
            }
            (found, says) => panic!("{found:?} was read, and the reference says {says:?}"),
        }
    }

    fn check_error(&self, error: FrameError, says: &Says) {
        match (error, says) {
            (FrameError::Eof, Says::Eof) => {}
            (FrameError::Torn { got, expected }, Says::Torn { got: came, expected: whole }) => {
                assert_eq!((got, expected), (*came as u64, *whole as u64));
            }
            (FrameError::BadHeader(found), Says::BadHeader(header)) => assert_eq!(found, *header),
            (FrameError::TooLong { length, limit }, Says::TooLong(long)) => {
                assert_eq!((length, limit), (*long, self.limit));
            }
            // A header of a frame that our writer has not ended.
            (FrameError::TooLong { length, .. }, Says::Pending) => {
                let written = self.written.as_ref().expect("a header came");
                assert!(length == written.body.len() as u64 && written.body.len() > self.limit);
            }
            (error, says) => panic!("{error:?}, and the reference says {says:?}"),
        }
    }

    /// Reads into memory that is there, which waits: so only what is there.
    fn read_into(&mut self, room: usize) {
        let says = self.says();
        if says == Says::Pending {
            return;
        }
        let mut buf = vec![0; room];
        let came = self.stream.len();
        let (found, peak) = heap::peak_of(|| self.frames.read_into(&self.reader, &mut buf, self.limit));
        assert!(peak <= 2 * came + ROOM, "{peak} bytes of memory for {came} that came");
        match (found, says) {
            (Ok(Filled::Whole(found)), Says::Frame { header, len }) => {
                assert_eq!(found, len);
                assert!(buf[..len] == self.stream[header..header + len], "another body");
                self.consume(header + len);
            }
            (Ok(Filled::Longer(found)), Says::Frame { header, len }) => {
                assert!(len > room && found == self.stream[header..header + len], "another body");
                self.consume(header + len);
            }
            (Err(FrameError::TooManyDescriptors { .. }), Says::Frame { header, len }) => {
                assert!(len > room || self.has_body);
                assert_eq!(self.fds_of(header, len), None);
                self.consume(header + len);
            }
            (Err(error), says) => self.check_error(error, &says),
            (found, says) => panic!("{found:?} was read, and the reference says {says:?}"),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Frame { len, seed, long } => {
                let len = usize::from(len % 8192);
                if long {
                    self.plan.extend((-1i32).to_be_bytes());
                    self.plan.extend((len as u64).to_be_bytes());
                } else {
                    self.plan.extend((len as u32).to_be_bytes());
                }
                self.plan.extend(body(len, seed));
            }
            Step::Header(length) => self.plan.extend(length.to_be_bytes()),
            Step::LongHeader(length) => {
                self.plan.extend((-1i32).to_be_bytes());
                self.plan.extend(length.to_be_bytes());
            }
            Step::Raw(bytes) => self.plan.extend(bytes),
            Step::Push { len, fds } => {
                // Few mostly, and sometimes as many as may be.
                let fds = if fds < 200 { fds % 4 } else { fds - 2 };
                self.push(usize::from(len), usize::from(fds));
            }
            Step::Write { len, seed, fds } => {
                // Short ones as often as those for which the socket has no room.
                let len = len as usize % (1 << (4 + seed % 15));
                self.write(len, seed, usize::from(fds % 520));
            }
            Step::WriteOn => self.write_on(),
            Step::Read => {
                self.read();
            }
            Step::ReadInto(room) => self.read_into(usize::from(room % 8192)),
        }
    }

    /// Ends the stream, and reads what is in it.
    fn close(mut self) {
        let torn = self.written.take().filter(|written| written.outgoing.has_begun());
        if let (Some(written), Some(writer)) = (&torn, &self.writer) {
            let error = written.outgoing.give_up(writer, io::ErrorKind::WouldBlock.into());
            assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        }
        self.writer = None;
        if torn.is_none() {
            self.has_ended = true;
            while self.read() {}
            // It stays so.
            self.read();
            return;
        }
        while let Says::Frame { .. } = self.says() {
            self.read();
        }
        match self.frames.read(&self.reader, self.limit, Deadline::NEVER) {
            Err(FrameError::Torn { got, expected }) => assert!(got < expected),
            Err(FrameError::TooLong { length, limit }) => assert!(length > limit as u64),
            found => panic!("{found:?} of a torn frame"),
        }
    }

    /// What no frame has taken is where it was.
    fn drain(self) {
        if self.frames.is_amid_frame() || self.written.is_some() {
            return;
        }
        let mut rest = vec![0; self.stream.len() + 1];
        let mut got = 0;
        while let Ok(bytes @ 1..) = socket::recv_bytes(&self.reader, &mut rest[got..], false) {
            got += bytes;
        }
        assert!(rest[..got] == self.stream, "{got} bytes are left of {}", self.stream.len());
    }
}

fuzz_target!(|program: Program| {
    let before = fds::open();
    let mut machine = Machine::new(&program);
    for step in program.steps {
        machine.step(step);
    }
    match program.end {
        End::Close => machine.close(),
        End::Raw => machine.drain(),
    }
    assert_eq!(fds::open(), before, "descriptors are left");
});
