//! The dialect for programs in any language: each line of JSON gets a line of JSON in reply; see docs/JSON.md. The
//! same sessions carry out the requests of both dialects.

mod answer;
mod chosen_id;
mod line_receiver;
mod memory;
mod notices;
mod pieces;
mod request;
mod share;

use crate::model::id::{ClientId, CommandId, PeerKey};
use crate::sys::random::random_bytes;
use crate::tracker::core::Core;
use crate::tracker::metrics::{BegunCommand, NO_COMMAND};
use crate::tracker::push::push_channel::PushChannel;
use crate::tracker::session::Session;
use crate::tracker::session::connection::{AcceptedConnection, hang_up};
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::codec::List;
use crate::wire::refusal::{Code, Refusal};
use answer::Answer;
use line_receiver::{LineReceiver, NoLine, ReceivedLine, SHORT_LEN};
pub use memory::JsonMemory;
use memory::{AnswerRoom, JsonPayer};
use request::{Ids, JsonCommand, JsonRequest};
pub use share::PIECES_MAX;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

/// The longest line in bytes, without its end: an upload with the most pieces of a share in this dialect.
pub const LINE_LEN_MAX: usize = 8 * 1024 * 1024;
/// The longest line before a login.
pub const EARLY_LINE_LEN_MAX: usize = 16 * 1024;

/// A connection without pushed messages. A program that reads one line for each line it wrote would take a pushed line
/// for an answer.
#[derive(Debug)]
struct SilentChannel(Arc<TcpStream>);

impl PushChannel for SilentChannel {
    fn queue(&self, _: &Reply) {}

    fn flush(&self) -> bool {
        false
    }

    fn end(&self) {
        // Fails only if the connection is gone.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A connection on which a program speaks.
struct JsonDialect {
    session: Session,
    stream: Arc<TcpStream>,
    memory: Arc<JsonMemory>,
    client: ClientId,
    /// Stands for a client's key. The program does not prove to its peers that it has this key.
    key: PeerKey,
    /// The port that was last announced.
    port: Option<u16>,
}

/// Serves a connection until it ends.
pub(crate) fn serve(core: Arc<Core>, connection: AcceptedConnection, memory: &Arc<JsonMemory>) {
    let AcceptedConnection { stream, seen, slot, close_handle } = connection;
    let push_channel: Arc<dyn PushChannel> = Arc::new(SilentChannel(stream.clone()));
    close_handle.open(push_channel.clone());
    let (Ok(client), Ok(key), Ok(())) = (random_id(), random_bytes(), stream.set_nodelay(true)) else { return };
    let session = Session::new(core, push_channel, seen, slot).without_tokens();
    let (client, key) = (ClientId(client), PeerKey(key));
    let memory = memory.clone();
    let mut dialect = JsonDialect { session, stream: stream.clone(), memory, client, key, port: None };
    let mut lines = LineReceiver::new(&stream, dialect.payer());
    while dialect.turn(&mut lines) {}
    dialect.session.log_out();
    hang_up(&stream);
}

/// The refusal of a connection when there is no room for it.
pub fn busy() -> Vec<u8> {
    answer::refusal_line(Code::Busy.into())
}

fn random_id() -> Result<[u8; 16], Refusal> {
    random_bytes().map_err(|error| Refusal::about(Code::Unavailable, error))
}

impl JsonDialect {
    /// Takes one line and answers it. Returns false if the connection is to end.
    fn turn(&mut self, lines: &mut LineReceiver<'_>) -> bool {
        let len_max = if self.session.is_logged_in() { LINE_LEN_MAX } else { EARLY_LINE_LEN_MAX };
        let payer = self.payer();
        lines.set_payer(payer.clone());
        let (line, turn) = match lines.next(len_max, || self.session.turn()) {
            Ok(next) => next,
            Err(NoLine::Slow) => {
                let refusal = Refusal::about(Code::Malformed, "the line did not end in time");
                // If this does not arrive, the end of the connection says enough.
                let _ = answer::write_line(&self.stream, &answer::refusal_line(refusal));
                return false;
            }
            Err(NoLine::Gone) => return false,
        };
        let asked = match line {
            ReceivedLine::Line(line) => {
                let _alone = (line.len() > SHORT_LEN).then(|| payer.parsing());
                let ids = |command| Ids { client: self.client, command: CommandId(command) };
                random_id().and_then(|command| request::parse(line, ids(command)))
            }
            ReceivedLine::TooLong => {
                Err(Refusal::about(Code::TooLarge, format!("a line has at most {len_max} bytes here")))
            }
            ReceivedLine::Crowded => Err(Code::SlowDown.into()),
        };
        lines.parsed(asked.as_ref().map_or(0, |asked| asked.command.held_len()));
        if !self.session.is_heard() {
            return false;
        }
        let kind = asked.as_ref().map_or(NO_COMMAND, |asked| asked.command.kind());
        let command = BegunCommand::of_kind(kind);
        let mut waits = AnswerRoom::new(payer, turn);
        let outcome = asked.and_then(|asked| self.carry_out(asked, &mut waits, Session::turn));
        let refusal = outcome.as_ref().err().map(|refusal| refusal.code);
        self.session.note_answered(command, refusal);
        let sent = answer::write(&self.stream, outcome, waits).is_ok();
        self.session.rest_after(refusal);
        sent
    }

    fn payer(&self) -> JsonPayer {
        JsonPayer::new(&self.memory, &self.stream, self.session.ip(), self.session.logged_in())
    }

    fn carry_out<T>(
        &mut self,
        asked: JsonRequest,
        waits: &mut AnswerRoom<T>,
        turn: fn(&Session) -> T,
    ) -> Result<Answer, Refusal> {
        let JsonRequest { ip, port, command, command_id } = asked;
        if ip != self.session.ip() {
            let about = format!("sender_ip is {ip}, but this connection comes from {}", self.session.ip());
            return Err(Refusal::about(Code::Malformed, about));
        }
        // Announced before an upload, so that peers find the program at the right port at once. After a login,
        // announced as soon as it has succeeded.
        self.announce(port)?;
        let answer = match command {
            JsonCommand::Ask(request) => {
                // Only logged-in users get long replies.
                if let Some(len) = request.long_reply_len().filter(|_| self.session.is_logged_in()) {
                    waits.reserve(len)?;
                    waits.resume(turn(&self.session));
                }
                Answer::from(self.session.ask(request)?)
            }
            JsonCommand::ListNotices => {
                let reserve = || waits.reserve(notices::ALL_LEN);
                let (notices, through) = notices::listed(self.session.unread_notices(notices::FEW, reserve)?);
                Answer::Notices { notices, through }
            }
            JsonCommand::ReadNotices(shown) => {
                self.session.drop_notices(command_id, shown)?;
                Answer::Done {}
            }
            JsonCommand::Upload(upload) => share::upload(&mut self.session, upload, command_id)?,
            JsonCommand::Download { group, name } => share::find(&mut self.session, (group, name), waits, turn)?,
        };
        self.announce(port)?;
        Ok(answer)
    }

    /// Announces the port, if a user is logged in and the port is not announced yet.
    fn announce(&mut self, port: u16) -> Result<(), Refusal> {
        if !self.session.is_logged_in() {
            self.port = None;
        } else if port != 0 && self.port != Some(port) {
            self.session.ask(Request::Announce {
                key: self.key,
                port,
                interfaces: List::EMPTY,
                announced: None,
                machine: [0; 16],
                round_trip_ms: 0,
            })?;
            self.port = Some(port);
        }
        Ok(())
    }
}
