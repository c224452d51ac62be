//! The limit: the least cost of moving a file in verified pieces over TCP. It consists of `sendfile`, receive, SHA-1 of
//! each piece, and positional writes into a file with reserved room. There is no encryption, no SHA-1 of the whole, and
//! no protocol.
//!
//! Both sides are processes of their own: this same program with other arguments.

use super::content::digests;
use super::house::FILE;
use super::program;
use super::tool::{Taken, Tool};
use crate::common::program::Program;
use groupshare::model::piece::PIECE_LEN;
use rustix::net::{RecvFlags, recv};
use sha1::{Digest, Sha1};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Connections of a download, to all givers together.
const CONNECTIONS: usize = 4;
/// Pieces requested ahead on each connection.
const DEPTH: usize = 2;
const GIVE: &str = "limit-give";
const TAKE: &str = "limit-take";
const PIECE: u64 = PIECE_LEN as u64;

/// Runs one of the two sides if this process was started as one. Otherwise returns false.
pub(crate) fn is_side(args: &[String]) -> bool {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [GIVE, file] => give(Path::new(file)),
        [TAKE, digests, size, out, ref givers @ ..] => {
            let givers: Vec<SocketAddr> = givers.iter().map(|giver| giver.parse().expect("an address")).collect();
            take(Path::new(digests), size.parse().expect("a number"), Path::new(out), &givers);
        }
        _ => return false,
    }
    true
}

/// Serves pieces of the file to every caller, until its input ends.
fn give(path: &Path) {
    let file = Arc::new(File::open(path).expect("there"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let file = file.clone();
            thread::spawn(move || give_to(stream, &file));
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A request is an offset and a length, 8 bytes each.
fn give_to(mut stream: TcpStream, file: &File) {
    stream.set_nodelay(true).expect("a socket");
    let mut request = [0; 16];
    while stream.read_exact(&mut request).is_ok() {
        let [mut offset, mut left] = [0, 8].map(|at| u64::from_le_bytes(request[at..at + 8].try_into().expect("8")));
        while left > 0 {
            match rustix::fs::sendfile(&stream, file, Some(&mut offset), left as usize) {
                Ok(sent @ 1..) => left -= sent as u64,
                _ => return,
            }
        }
    }
}

/// Fetches the file and says `done`.
fn take(digests: &Path, size: u64, out: &Path, givers: &[SocketAddr]) {
    let digests = fs::read(digests).expect("there");
    let file = File::create_new(out).expect("a new file");
    groupshare::sys::space::allocate(&file, size).expect("room");
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for number in 0..CONNECTIONS.max(givers.len()) {
            let (file, next, digests) = (&file, &next, &digests);
            let giver = givers[number % givers.len()];
            scope.spawn(move || take_from(giver, size, digests, file, next));
        }
    });
    println!("done");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn take_from(giver: SocketAddr, size: u64, digests: &[u8], file: &File, next: &AtomicU64) {
    let stream = TcpStream::connect(giver).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let mut buffer = vec![0; PIECE as usize];
    let mut asked = VecDeque::new();
    let ask = |asked: &mut VecDeque<(u64, u64)>| {
        let offset = next.fetch_add(1, Ordering::Relaxed) * PIECE;
        if offset < size {
            let len = PIECE.min(size - offset);
            let request = [offset.to_le_bytes(), len.to_le_bytes()].concat();
            (&stream).write_all(&request).expect("it listens");
            asked.push_back((offset, len));
        }
    };
    (0..DEPTH).for_each(|_| ask(&mut asked));
    while let Some((offset, len)) = asked.pop_front() {
        let piece = &mut buffer[..len as usize];
        let mut have = 0;
        while have < piece.len() {
            have += match recv(&stream, &mut piece[have..], RecvFlags::WAITALL).expect("it gives") {
                (_, 0) => panic!("the giver has ended"),
                (_, len) => len,
            };
        }
        ask(&mut asked);
        let expected = &digests[(offset / PIECE) as usize * 20..][..20];
        assert_eq!(Sha1::digest(&*piece)[..], *expected, "the piece at {offset}");
        file.write_all_at(piece, offset).expect("written");
    }
}

/// The limit as one of the compared tools.
pub(crate) struct Limit {
    givers: Vec<(Program, String)>,
    digests: PathBuf,
    size: u64,
}

impl Limit {
    /// Starts givers. `folder` is for their own use.
    pub(crate) fn start(file: &Path, givers: usize, folder: &Path) -> Self {
        let list = folder.join("digests");
        fs::write(&list, digests(file, PIECE as usize)).expect("written");
        let give = |_| {
            let mut program = program::start(this_program().arg(GIVE).arg(file));
            let addr = program.expect("127.0.0.1:").text;
            (program, addr)
        };
        Self { givers: (0..givers).map(give).collect(), digests: list, size: fs::metadata(file).expect("there").len() }
    }
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().expect("Linux tells"))
}

impl Tool for Limit {
    fn givers(&self) -> Vec<&Program> {
        self.givers.iter().map(|(program, _)| program).collect()
    }

    fn take(&mut self, folder: &Path) -> Taken {
        let start = Instant::now();
        let mut command = this_program();
        command.arg(TAKE).arg(&self.digests).arg(self.size.to_string()).arg(folder.join(FILE));
        let mut taker = program::start(command.args(self.givers.iter().map(|(_, addr)| addr)));
        let verified = taker.expect("done").at;
        Taken { start, verified, named: None, usage: taker.usage() }
    }
}
