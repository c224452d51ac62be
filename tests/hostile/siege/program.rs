//! A built program under siege, with its output and its memory.

use crate::common::deadline::LONG;
use crossbeam_channel::{Receiver, unbounded};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

/// Killed when dropped.
pub(super) struct RunningProgram {
    child: Child,
    lines: Receiver<(Instant, String)>,
    /// All its output so far, from both streams.
    pub heard: Vec<String>,
}

impl RunningProgram {
    pub(super) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (say, lines) = unbounded();
        let sides: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        for side in sides {
            let say = say.clone();
            thread::spawn(move || {
                for line in BufReader::new(side).split(b'\n').map_while(Result::ok) {
                    // The reader of these lines may be gone.
                    let _ = say.send((Instant::now(), String::from_utf8_lossy(&line).into_owned()));
                }
            });
        }
        Self { child, lines, heard: Vec::new() }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Types a line.
    pub(super) fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{line}").expect("taken");
    }

    /// Waits for a line that contains one of these texts. Returns when it came, and the line.
    pub(super) fn hears(&mut self, texts: &[&str]) -> (Instant, String) {
        let deadline = Instant::now() + LONG;
        loop {
            let (at, line) = self.lines.recv_deadline(deadline).unwrap_or_else(|_| {
                let last = self.heard.len().saturating_sub(20);
                panic!("it does not say {texts:?}, but {:#?}", &self.heard[last..])
            });
            self.heard.push(line.clone());
            if texts.iter().any(|text| line.contains(text)) {
                return (at, line);
            }
        }
    }

    /// Takes in the output so far.
    pub(super) fn listen(&mut self) {
        self.heard.extend(self.lines.try_iter().map(|(_, line)| line));
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        // This fails if the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The resident memory of a process in KiB; `None` once it has ended.
pub(super) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    field.trim().trim_end_matches(" kB").parse().ok()
}
