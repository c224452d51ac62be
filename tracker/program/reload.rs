//! Reads the list of trackers anew while the tracker runs.

use crate::model::address::TrackerAddr;
use crate::model::digest::Fingerprint;
use crate::model::tracker_list::TrackerList;
use crate::sys;
use crate::tracker::operator::answer::{CommandRefusal, Row};
use crate::tracker::server::Server;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the other trackers of the list are, by their numbers. The next start takes them from here.
pub(super) type Others = Arc<Mutex<Vec<(u16, TrackerAddr)>>>;

/// Reads the list, which names this tracker.
pub(super) type ReadList = Box<dyn Fn() -> Result<TrackerList, CommandRefusal> + Send + Sync>;

/// What the list said when it was read last.
pub(super) struct ListReload {
    pub(super) read: ReadList,
    pub(super) number: u16,
    /// Where the list has this tracker.
    pub(super) own: TrackerAddr,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) others: Others,
}

impl ListReload {
    /// Reads the list and goes by it, or changes nothing.
    ///
    /// # Errors
    /// The list cannot be read, or says something else of this tracker.
    pub(super) fn reload(&self, server: &Server) -> Result<Row, CommandRefusal> {
        let list = (self.read)()?;
        let own = list.tracker(u64::from(self.number)).map_err(|error| changed(&error.to_string()))?;
        if own != self.own {
            return Err(changed("this tracker's own line has changed; restart it"));
        }
        if list.fingerprint() != self.fingerprint {
            return Err(changed("the fingerprint in the list has changed; restart this tracker"));
        }
        let new = others(list.trackers(), self.number);
        // One reload at a time.
        let mut known = self.others.lock();
        let changes = changes(&known, &new);
        if changes.is_empty() {
            return Ok(Row::success("Reloaded, nothing has changed"));
        }
        server.set_others(&new).map_err(|error| CommandRefusal {
            code: "Unavailable".to_owned(),
            words: format!("not all other trackers can be called: {}; restart this one", sys::reason(&error)),
        })?;
        *known = new;
        Ok(Row::success(format!("Reloaded: {}", changes.join("; "))))
    }
}

/// The trackers of a list but the one with this number.
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

/// That the list is not gone by.
pub(super) fn changed(words: &str) -> CommandRefusal {
    CommandRefusal { code: "List".to_owned(), words: words.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::parse_address;

    #[test]
    fn what_has_changed_is_told() {
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
