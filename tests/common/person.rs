//! A person at a client: types commands, and reads the client's output.

use super::tracker::fingerprint;
use groupshare::client::app::event_loop::EventLoop;
use groupshare::client::app::executor::Executor;
use groupshare::client::app::login::Login;
use groupshare::client::app::node::{Node, NodeOptions, OwnAddresses};
use groupshare::client::command::parse::{Surroundings, parse};
use groupshare::client::command::types::ParsedLine;
use groupshare::client::download::engine::options::{EngineOptions, default_workers};
use groupshare::client::output::reporter::{Manner, Reporter};
use groupshare::client::rate::downlink::Downlink;
use groupshare::client::reach::interfaces::own_addresses;
use groupshare::client::shell::repl::Execute;
use groupshare::client::state::dir::StateDir;
use groupshare::client::terminal::interrupt::Interrupt;
use groupshare::client::terminal::writer::TerminalWriter;
use groupshare::rate::limit::Limit;
use parking_lot::Mutex;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The output of a client.
#[derive(Clone, Default)]
pub(crate) struct Sheet(pub(crate) Arc<Mutex<String>>);

impl Write for Sheet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sheet {
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut self.0.lock())
    }
}

/// A person at a client.
pub(crate) struct Person {
    pub(crate) node: Arc<Node>,
    pub(crate) login: Arc<Login>,
    pub(crate) executor: Executor,
    pub(crate) event_loop: Option<EventLoop>,
    pub(crate) output: Sheet,
    pub(crate) events: Sheet,
    pub(crate) folder: PathBuf,
}

impl Person {
    /// Starts a client with these trackers. Its state and its files lie in `folder`.
    pub(crate) fn sit_down_among(trackers: Vec<SocketAddr>, folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::start(trackers, folder, listener, None, Box::new(own_addresses))
    }

    pub(crate) fn start(
        trackers: Vec<SocketAddr>,
        folder: &Path,
        listener: TcpListener,
        announce: Option<SocketAddr>,
        own_addresses: OwnAddresses,
    ) -> Self {
        let (output, events) = (Sheet::default(), Sheet::default());
        let terminal = TerminalWriter::new(Box::new(output.clone()), Box::new(events.clone()));
        let options = NodeOptions {
            trackers: trackers.into_iter().map(Into::into).collect(),
            listener,
            announce,
            own_addresses,
            state: StateDir::open(&folder.join("state")).expect("a folder"),
            check: Box::new(|shown| if shown == fingerprint() { Ok(()) } else { Err("wrong key".into()) }),
            upload_limit: Limit::NONE,
            engine_options: EngineOptions {
                workers: default_workers(),
                patience: None,
                downlink: Downlink::new(Limit::NONE),
            },
            reporter: Reporter::new(terminal, Manner::default()),
        };
        let (node, inbox) = Node::start(options).expect("started");
        let login = Login::new(node.clone());
        let event_loop = Some(EventLoop::start(login.clone(), inbox).expect("a thread"));
        let executor = Executor::new(login.clone(), Interrupt::new(false).expect("an eventfd"));
        Self { node, login, executor, event_loop, output, events, folder: folder.to_path_buf() }
    }

    /// Types a line. Returns the client's output, or its refusal.
    pub(crate) fn types(&mut self, line: &str) -> Result<String, String> {
        self.output.take();
        let around = Surroundings { home: None, folder: &self.folder, exists: &Path::exists, is_member: &|_| false };
        let typed = parse(line, &around).map_err(|error| error.to_string())?;
        let ParsedLine::Command(command) = typed else { panic!("{line} is no complete command") };
        let outcome = self.executor.execute(command).map(|report| self.node.reporter.answer(None, &report));
        self.executor.answered();
        outcome.map(|()| self.output.take()).map_err(|failure| failure.why)
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.node.link.close();
        self.login.end();
        self.node.catalog.close();
        self.event_loop = None;
    }
}
