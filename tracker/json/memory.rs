//! Memory for long lines and long answers, of all connections together.

use crate::model::id::UserRef;
use crate::wire::connection::{LongFrame, LongFrames, Payer};
use crate::wire::refusal::{Code, Refusal};
use parking_lot::{Mutex, MutexGuard};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;
/// The most bytes of all long lines. A site gets room only if all its bytes then do not exceed the bytes that are free.
/// The same rule holds for each network of a site and for each user there. So a single user on an otherwise idle
/// tracker gets half.
const LINE_BYTES: usize = 24 * MIB;
/// The most bytes of answers that are being made or read.
const ANSWER_BYTES: usize = 12 * MIB;

/// How long a long answer waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// The memory of all programs.
#[derive(Debug)]
pub struct JsonMemory {
    rooms: Arc<LongFrames>,
    parsing: Mutex<()>,
}

/// The payer of one connection's memory.
#[derive(Debug, Clone)]
pub(super) struct JsonPayer {
    memory: Arc<JsonMemory>,
    stream: Arc<TcpStream>,
    payer: Payer,
}

impl JsonMemory {
    pub fn new() -> Arc<Self> {
        let rooms = LongFrames::with_most([LINE_BYTES; 3], [ANSWER_BYTES; 3]);
        Arc::new(Self { rooms, parsing: Mutex::default() })
    }
}

impl JsonPayer {
    pub(super) fn new(memory: &Arc<JsonMemory>, stream: &Arc<TcpStream>, ip: IpAddr, user: Option<UserRef>) -> Self {
        Self { memory: memory.clone(), stream: stream.clone(), payer: Payer::new(ip, user) }
    }

    /// Waits until `by` for room for the beginning of a line.
    pub(super) fn line(&self, len: usize, by: Instant) -> Option<LongFrame> {
        self.memory.rooms.incoming.begin(self.payer, len, &self.stream, by)
    }

    /// Only one long line is parsed at a time. While an unusual line is parsed, it takes up to twice its length in
    /// addition.
    pub(super) fn parsing(&self) -> MutexGuard<'_, ()> {
        self.memory.parsing.lock()
    }
}

/// What a request holds while it is carried out and answered.
pub(super) struct AnswerRoom<T> {
    payer: JsonPayer,
    /// Room for a long answer, until the program has read it.
    room: Option<LongFrame>,
    /// The turn in which it is made.
    turn: Option<T>,
}

impl<T> AnswerRoom<T> {
    pub(super) fn new(payer: JsonPayer, turn: T) -> Self {
        Self { payer, room: None, turn: Some(turn) }
    }

    /// Gives the turn back and waits for room for an answer of `len` bytes.
    ///
    /// # Errors
    /// `SlowDown`.
    pub(super) fn reserve(&mut self, len: usize) -> Result<(), Refusal> {
        self.turn = None;
        let JsonPayer { memory, stream, payer } = &self.payer;
        self.room = memory.rooms.replies.whole(*payer, len, stream, Instant::now() + ROOM_WAIT);
        self.room.as_ref().map(drop).ok_or(Code::SlowDown.into())
    }

    /// Gives back all but `len` bytes.
    pub(super) fn shrink(&mut self, len: usize) {
        self.room.iter_mut().for_each(|room| room.shrink(len));
    }

    /// Goes on, in this turn.
    pub(super) fn resume(&mut self, turn: T) {
        self.turn = Some(turn);
    }

    /// The answer is ready and has this length: now the program reads it.
    pub(super) fn is_made(&mut self, len: usize) {
        self.shrink(len);
        self.turn = None;
    }
}
