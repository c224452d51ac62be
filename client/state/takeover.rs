//! Takes over the records of another client of the same user that does not come back for them.
//!
//! The records are first stored here, durably, and then removed there. After a crash in between they are in both slots;
//! the next login finds them here and removes them there. So nothing is lost or doubled.

use super::change::{Change, RecordKey, RecordKind};
use super::file::StateError;
use super::record::SlotRecord;
use super::slot::{Slot, lock_slot};
use crate::model::escape::ShownPath;
use std::fs;
use std::path::Path;

/// What to do with the records of another slot.
#[derive(Debug, Default)]
struct Plan {
    /// Records that come here.
    moved: Vec<SlotRecord>,
    /// Records that are here already.
    here: Vec<SlotRecord>,
    /// Records whose names are taken here.
    staying: Vec<SlotRecord>,
}

/// Takes over from the slots below `base` that no client uses. Returns lines for the user: one for all records that
/// came, one for each record that stays, and one for every damage.
pub(super) fn take_over(slot: &Slot, base: &Path) -> Vec<String> {
    let (mut lines, mut came) = (Vec::new(), Vec::new());
    for number in other_slots(base, slot.number()) {
        match take_over_from(slot, &base.join(number.to_string()), number, &mut lines) {
            Ok(records) => came.extend(records),
            Err(error) => {
                lines.push(format!("what another client of yours shared and downloaded stays with it: {error}"))
            }
        }
    }
    let shares = came.iter().filter(|record| record.as_share().is_some()).count();
    let downloads = came.len() - shares;
    if !came.is_empty() {
        let counted = [count(shares, "share"), count(downloads, "unfinished download")];
        let counted = counted.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        lines.insert(0, format!("{counted} of another client of yours that is not logged in came over to this one"));
    }
    lines
}

fn count(number: usize, what: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {what}")),
        many => Some(format!("{many} {what}s")),
    }
}

/// The numbers of the user's other slots, in ascending order.
fn other_slots(base: &Path, own: u32) -> Vec<u32> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| {
        let name = entry.file_name();
        let number: u32 = name.to_str()?.parse().ok()?;
        (number != own && *name == *number.to_string()).then_some(number)
    });
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// Takes over from one slot, unless a client uses it. Returns the records that came.
fn take_over_from(
    slot: &Slot,
    folder: &Path,
    number: u32,
    lines: &mut Vec<String>,
) -> Result<Vec<SlotRecord>, StateError> {
    let Some(lock) = lock_slot(folder)? else { return Ok(Vec::new()) };
    let (other, warnings) = Slot::load(folder.to_path_buf(), number, lock)?;
    lines.extend(warnings);
    let Plan { mut moved, here, staying } = plan(slot, &other);
    slot.take_follow_logs(&other)?;
    slot.folders().take_over(other.folders())?;
    slot.take_manifests(&other, &moved)?;
    slot.change(moved.iter().cloned().map(Change::Put))?;
    moved.extend(here);
    other.change(moved.iter().map(|record| Change::Remove(RecordKey::of(record))))?;
    lines.extend(staying.iter().map(|record| {
        format!(
            "{} in {} ({}) stays with another client of yours that is not logged in: this one has other content of that \
             name; start a second client for it",
            record.name(),
            record.group(),
            ShownPath(record.path())
        )
    }));
    Ok(moved)
}

fn plan(slot: &Slot, other: &Slot) -> Plan {
    let mut plan = Plan::default();
    for record in other.records() {
        let kinds = [RecordKind::Share, RecordKind::Download];
        let named = kinds.map(|kind| slot.record(&RecordKey { kind, ..RecordKey::of(&record) }));
        let named: Vec<_> = named.into_iter().flatten().collect();
        let is_same = |own: &SlotRecord| own.content().info_hash == record.content().info_hash;
        let is_double = |own: &SlotRecord| {
            RecordKey::of(own) == RecordKey::of(&record) && own.path() == record.path() && is_same(own)
        };
        if named.is_empty() {
            plan.moved.push(record);
        } else if named.iter().any(is_double) {
            plan.here.push(record);
        } else if !named.iter().all(is_same) {
            plan.staying.push(record);
        }
        // The rest is the same content from another place. This client has it too, and the other slot keeps it.
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::state::dir::StateDir;
    use crate::client::state::dir::tests::{TRACKERS, slot, state, user};
    use crate::client::state::record::tests::{download, manifest, share};
    use crate::client::state::record::{DownloadRecord, ShareRecord};
    use crate::model::digest::InfoHash;

    fn log_in(state: &StateDir) -> (Slot, Vec<String>) {
        state.take_slot(&TRACKERS, &user("alice")).expect("free")
    }

    fn known(slot: &Slot) -> (Vec<ShareRecord>, Vec<DownloadRecord>) {
        (slot.shares(), slot.downloads())
    }

    /// The folder of a slot of alice.
    fn folder(temp: &tempfile::TempDir, number: u32) -> std::path::PathBuf {
        temp.path().join("a/b").join(TRACKERS.to_string()).join("alice").join(number.to_string())
    }

    /// Two clients: the first shares `f`, the second shares `g` and downloads `h`.
    fn two_clients(state: &StateDir) -> (Slot, Slot) {
        let (first, second) = (slot(state, "alice"), slot(state, "alice"));
        first.put_share(share("lab", "f", 1), &manifest(1)).expect("saved");
        second.put_share(share("lab", "g", 2), &manifest(2)).expect("saved");
        second.put_download(download("lab", "h", 3), &manifest(3)).expect("saved");
        (first, second)
    }

    fn everything() -> (Vec<ShareRecord>, Vec<DownloadRecord>) {
        (vec![share("lab", "f", 1), share("lab", "g", 2)], vec![download("lab", "h", 3)])
    }

    fn hash_of(byte: u8) -> InfoHash {
        share("lab", "f", byte).content.info_hash
    }

    #[test]
    fn the_shares_of_an_idle_client_come_over_and_one_line_says_so() {
        let (_temp, state) = state();
        drop(two_clients(&state));
        let (first, lines) = log_in(&state);
        assert_eq!(known(&first), everything());
        let came =
            "1 share and 1 unfinished download of another client of yours that is not logged in came over to this one";
        assert_eq!(lines, [came]);
        for byte in [1, 2, 3] {
            assert_eq!(
                first.manifest(&hash_of(byte)).expect("no error"),
                Some(manifest(byte)),
                "nothing is hashed again"
            );
        }
        assert_eq!(slot(&state, "alice").shares(), [], "the other one begins anew");
        drop(first);
        assert_eq!(known(&slot(&state, "alice")), everything(), "told once");
    }

    #[test]
    fn a_client_that_runs_keeps_its_own() {
        let (_temp, state) = state();
        let (first, second) = two_clients(&state);
        drop(first);
        let first = slot(&state, "alice");
        assert_eq!(first.shares(), [share("lab", "f", 1)]);
        assert_eq!(second.shares(), [share("lab", "g", 2)]);
        second.remove_share(&share("lab", "g", 2).group, &share("lab", "g", 2).name).expect("it is its own still");
    }

    #[test]
    fn after_a_crash_between_any_two_steps_nothing_is_lost_or_doubled() {
        let (temp, state) = state();
        drop(two_clients(&state));
        let other = folder(&temp, 1).join("records");
        let before = fs::read(&other).expect("there");
        let (first, _) = log_in(&state);
        drop(first);
        // As after a crash before the records were removed there.
        fs::write(&other, &before).expect("written");
        let (first, lines) = log_in(&state);
        assert_eq!((known(&first), lines.len()), (everything(), 1));
        assert_eq!(slot(&state, "alice").shares(), []);
        drop(first);
        // As after a crash before they were stored here, when some manifests are already here.
        fs::write(&other, &before).expect("written");
        let own = folder(&temp, 0).join("records");
        let whole = fs::read_to_string(&own).expect("there");
        for kept in 2..whole.lines().count() {
            let lines: String = whole.lines().take(kept).map(|line| format!("{line}\n")).collect();
            fs::write(&own, &lines[..lines.len() - 3]).expect("written");
            fs::write(&other, &before).expect("written");
            let (first, _) = log_in(&state);
            let (mut shares, downloads) = known(&first);
            shares.sort_by(|a, b| a.name.cmp(&b.name));
            let expected = everything();
            assert_eq!((&shares[shares.len() - 1..], &downloads), (&expected.0[1..], &expected.1), "{kept} lines");
            assert!(first.manifest(&hash_of(2)).is_ok(), "{kept} lines");
        }
    }

    #[test]
    fn a_record_whose_name_is_taken_stays_and_is_told_at_every_login() {
        let (_temp, state) = state();
        let (first, second) = two_clients(&state);
        second.put_share(share("lab", "f", 4), &manifest(4)).expect("saved");
        second.put_download(download("class", "f", 5), &manifest(5)).expect("saved");
        first.put_download(download("class", "f", 6), &manifest(6)).expect("saved");
        drop((first, second));
        let (first, lines) = log_in(&state);
        assert_eq!(first.shares(), everything().0);
        assert!(first.downloads().contains(&download("class", "f", 6)));
        let stay = |lines: &[String]| lines.iter().filter(|line| line.contains("stays with another client")).count();
        assert_eq!((lines.len(), stay(&lines)), (3, 2), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains('\n')));
        drop(first);
        let (first, lines) = log_in(&state);
        assert_eq!((lines.len(), stay(&lines)), (2, 2), "{lines:?}");
        let (second, _) = log_in(&state);
        assert_eq!(known(&second), (vec![share("lab", "f", 4)], vec![download("class", "f", 5)]));
        drop(first);
    }

    #[test]
    fn the_same_content_of_two_places_is_shared_from_the_own_one_and_the_other_is_not_forgotten() {
        let (_temp, state) = state();
        let (first, second) = two_clients(&state);
        let elsewhere = ShareRecord { path: "/elsewhere".into(), ..share("lab", "f", 1) };
        second.put_share(elsewhere.clone(), &manifest(1)).expect("saved");
        drop((first, second));
        let (first, lines) = log_in(&state);
        assert_eq!((known(&first), lines.len()), (everything(), 1));
        assert_eq!(slot(&state, "alice").shares(), [elsewhere]);
    }

    #[test]
    fn a_damaged_record_in_another_slot_is_told_and_the_rest_comes_over() {
        let (temp, state) = state();
        drop(two_clients(&state));
        let other = folder(&temp, 1).join("records");
        let text = fs::read_to_string(&other).expect("there").replacen("share\t", "shore\t", 1);
        fs::write(&other, text).expect("damaged");
        let (first, lines) = log_in(&state);
        assert_eq!(known(&first), (everything().0[..1].to_vec(), everything().1));
        assert!(matches!(&lines[..], [_, line] if line.contains("records.damaged-1")), "{lines:?}");
        drop(first);
        fs::write(&other, "groupshare client records 9\n").expect("newer");
        let (first, lines) = log_in(&state);
        assert_eq!(first.shares(), everything().0[..1]);
        assert!(matches!(&lines[..], [line] if line.contains("newer version")), "{lines:?}");
    }
}
