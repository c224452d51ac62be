//! Reads the list of trackers and the options again while the tracker runs.

use crate::model::address::TrackerAddr;
use crate::model::digest::Fingerprint;
use crate::model::tracker_list::TrackerList;
use crate::sys;
use crate::sys::owned_thread::OwnedThread;
use crate::tracker::args::{self, Args, Invocation};
use crate::tracker::operator::answer::{CommandRefusal, Row};
use crate::tracker::replication::link_dialer::EndedLinks;
use crate::tracker::server::Server;
use crate::tracker::server::kept_server::KeptServer;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::env;
use std::io;
use std::sync::Arc;

/// The addresses of the other trackers of the list, by number. The next start takes them from here.
pub(super) type Others = Arc<Mutex<Vec<(u16, TrackerAddr)>>>;

/// Reads the options, and the list, which must name this tracker.
pub(super) type ReadAnew = Box<dyn Fn() -> Result<(Args, TrackerList), CommandRefusal> + Send + Sync>;

/// The result of a reload.
pub(super) struct Reloaded {
    pub(super) told: Row,
    /// Dropping it takes long if one of them is busy.
    pub(super) ended: Option<EndedLinks>,
}

/// The list and the options as they were last read.
pub(super) struct Reload {
    pub(super) read: ReadAnew,
    /// The options that are in force until the next start.
    pub(super) started: Args,
    pub(super) number: u16,
    /// The address of this tracker in the list.
    pub(super) own: TrackerAddr,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) others: Others,
    /// Whether the options in force come from a file. Locked while one thread reads and applies them.
    pub(super) has_file: Mutex<bool>,
}

impl Reload {
    /// Reads list and options again and applies them, or changes nothing. `None` while the server restarts. Reading
    /// from a slow disk takes long, and does not block other users of the server.
    ///
    /// # Errors
    /// They cannot be read, or the list changes this tracker's own line.
    pub(super) fn reload(&self, server: &KeptServer) -> Option<Result<Reloaded, CommandRefusal>> {
        let mut has_file = self.has_file.lock();
        let (args, list) = match (self.read)() {
            Ok(anew) => anew,
            Err(refusal) => return Some(Err(refusal)),
        };
        let read_file = args.config.as_ref().is_some_and(|file| !file.is_missing);
        if let Some(file) = args.config.as_ref().filter(|_| *has_file && !read_file) {
            // The operator may be in the middle of replacing the file. Without its options everything would be
            // allowed.
            return Some(Err(unfit(format!("the options in {} are gone", file.path.display()))));
        }
        let new = match self.others_of(&list) {
            Ok(new) => new,
            Err(refusal) => return Some(Err(refusal)),
        };
        let reloaded = server.look(|server| self.apply(server, &args, new))?;
        // The options are in force, whether or not all trackers can be dialed.
        *has_file = read_file;
        Some(reloaded)
    }

    fn others_of(&self, list: &TrackerList) -> Result<Vec<(u16, TrackerAddr)>, CommandRefusal> {
        let own = list.tracker(u64::from(self.number)).map_err(|error| changed(&error.to_string()))?;
        if own != self.own {
            return Err(changed("this tracker's own line has changed; restart it"));
        }
        if list.fingerprint() != self.fingerprint {
            return Err(changed("the fingerprint in the list has changed; restart this tracker"));
        }
        Ok(others(list.trackers(), self.number))
    }

    /// The step that can fail comes last, so that the other changes stay in force.
    fn apply(&self, server: &Server, args: &Args, new: Vec<(u16, TrackerAddr)>) -> Result<Reloaded, CommandRefusal> {
        let mut known = self.others.lock();
        let mut changes = changes(&known, &new);
        let others_changed = !changes.is_empty();
        let oversight = &server.core().oversight;
        changes.extend(oversight.limits.change(&args.limits));
        changes.extend(oversight.log.set_level(args.log));
        changes.extend(self.later(args).map(|name| format!("{name} changes with the next start")));
        let mut ended = None;
        if others_changed {
            ended = server.set_others(&new).map_err(|error| CommandRefusal {
                code: "Unavailable".to_owned(),
                words: format!(
                    "the options hold, but not all other trackers can be called: {}; reload again",
                    sys::reason(&error)
                ),
            })?;
            *known = new;
        }
        if changes.is_empty() {
            return Ok(Reloaded { told: Row::success("Reloaded, nothing has changed"), ended });
        }
        Ok(Reloaded { told: Row::success(format!("Reloaded: {}", changes.join("; "))), ended })
    }

    /// The options that have changed and need a restart.
    fn later(&self, new: &Args) -> impl Iterator<Item = &'static str> {
        let old = &self.started;
        let changed = [
            ("json", old.json != new.json),
            ("metrics", old.metrics != new.metrics),
            ("relay", old.relay != new.relay),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name)
    }
}

/// The thread that reloads at a SIGHUP. Dropping it ends it.
pub(super) struct Reloader {
    end: Option<Sender<Infallible>>,
    thread: OwnedThread,
}

impl Reloader {
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(hung_up: Receiver<()>, reload: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (end, ended) = bounded(0);
        let run = move || {
            loop {
                select! {
                    recv(ended) -> _ => return,
                    recv(hung_up) -> _ => reload(),
                }
            }
        };
        Ok(Self { end: Some(end), thread: OwnedThread::start("reload", run)? })
    }
}

impl Drop for Reloader {
    fn drop(&mut self) {
        self.end = None;
        self.thread.join();
    }
}

/// The trackers of a list, without the one with this number.
pub(super) fn others(list: &[TrackerAddr], own: u16) -> Vec<(u16, TrackerAddr)> {
    (1..).zip(list.iter().cloned()).filter(|(number, _)| *number != own).collect()
}

fn changes(known: &[(u16, TrackerAddr)], new: &[(u16, TrackerAddr)]) -> Vec<String> {
    let known: BTreeMap<u16, &TrackerAddr> = known.iter().map(|(number, addr)| (*number, addr)).collect();
    let came = new.iter().filter_map(|(number, addr)| match known.get(number) {
        None => Some(format!("tracker {number} is new at {addr}")),
        Some(old) if *old != addr => Some(format!("tracker {number} is at {addr} now")),
        Some(_) => None,
    });
    let left = known.keys().filter(|number| new.iter().all(|(other, _)| other != *number));
    came.chain(left.map(|number| format!("tracker {number} is off the list"))).collect()
}

/// Reads the options of the program of this name again. The command line is the same, but the file may have changed.
///
/// # Errors
/// They cannot be applied.
pub(super) fn options(name: &str) -> Result<Args, CommandRefusal> {
    match args::parse(name, env::args_os().skip(1)) {
        Ok(Invocation::Run(args)) => Ok(*args),
        Ok(_) => Err(unfit("the command line asks for no tracker".to_owned())),
        Err(error) => Err(unfit(error.what().to_owned())),
    }
}

/// The refusal of new options.
fn unfit(words: String) -> CommandRefusal {
    CommandRefusal { code: "Options".to_owned(), words }
}

/// The refusal of a new list.
pub(super) fn changed(words: &str) -> CommandRefusal {
    CommandRefusal { code: "List".to_owned(), words: words.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::parse_address;

    #[test]
    fn a_reload_tells_which_trackers_have_changed() {
        let list = |ports: &[u16]| -> Vec<(u16, TrackerAddr)> {
            let addr = |port: &u16| TrackerAddr::Addr(parse_address(&format!("192.0.2.1:{port}")).expect("right"));
            others(&ports.iter().map(addr).collect::<Vec<_>>(), 1)
        };
        assert!(changes(&list(&[1, 2]), &list(&[9, 2])).is_empty(), "its own line is none of its business");
        assert_eq!(
            changes(&list(&[1, 2, 3, 4]), &list(&[1, 5, 3])),
            ["tracker 2 is at 192.0.2.1:5 now", "tracker 4 is off the list"]
        );
        assert_eq!(changes(&list(&[1]), &list(&[1, 2])), ["tracker 2 is new at 192.0.2.1:2"]);
    }
}
