//! A slot's records in memory, found by name and by content. A change has the same effect here whenever it is applied.
//! Pure.

use super::change::{Change, RecordKey, RecordKind};
use super::record::SlotRecord;
use crate::model::digest::InfoHash;
use crate::model::id::ShareRef;
use crate::model::name::GroupId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The records. Every one is in both indexes.
#[derive(Debug, Default)]
pub(super) struct RecordTable {
    /// In the order of their insertion.
    rows: BTreeMap<u64, SlotRecord>,
    keys: HashMap<RecordKey, u64>,
    subjects: HashMap<Subject, BTreeSet<u64>>,
    next_row: u64,
}

/// A subject that several records can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Content(InfoHash),
    Share(ShareRef),
}

fn subjects(record: &SlotRecord) -> impl Iterator<Item = Subject> {
    let share = record.as_share().and_then(|record| record.share).map(Subject::Share);
    [Subject::Content(record.content().info_hash)].into_iter().chain(share)
}

impl RecordTable {
    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All records, in the order of their insertion.
    pub(super) fn records(&self) -> impl Iterator<Item = &SlotRecord> {
        self.rows.values()
    }

    /// The record of this key.
    pub(super) fn get(&self, key: &RecordKey) -> Option<&SlotRecord> {
        self.rows.get(self.keys.get(key)?)
    }

    /// The records of this content.
    pub(super) fn of_content(&self, info_hash: InfoHash) -> impl Iterator<Item = &SlotRecord> {
        self.about(Subject::Content(info_hash))
    }

    /// The records of a share, by the number that its tracker gave it.
    pub(super) fn of_share(&self, share: ShareRef) -> impl Iterator<Item = &SlotRecord> {
        self.about(Subject::Share(share))
    }

    fn about(&self, subject: Subject) -> impl Iterator<Item = &SlotRecord> {
        self.subjects.get(&subject).into_iter().flatten().filter_map(|row| self.rows.get(row))
    }

    /// The changes that produce these records.
    pub(super) fn changes(&self) -> Vec<Change> {
        self.records().cloned().map(Change::Put).collect()
    }

    /// Whether a change would make a difference.
    pub(super) fn is_changed_by(&self, change: &Change) -> bool {
        match change {
            Change::Put(record) => {
                self.get(&RecordKey::of(record)) != Some(record) || self.finished_by(record).is_some()
            }
            Change::Pause { group, name, paused } => {
                let key = RecordKey { kind: RecordKind::Download, group: group.clone(), name: name.clone() };
                matches!(self.get(&key), Some(SlotRecord::Download(download)) if download.paused != *paused)
            }
            Change::Remove(key) => self.keys.contains_key(key),
            Change::Move { from, group, name } => {
                let to = RecordKey { kind: from.kind, group: group.clone(), name: name.clone() };
                self.keys.contains_key(from) && !self.keys.contains_key(&to)
            }
            Change::RenameGroups(renamed) => {
                self.records().any(|record| renamed.iter().any(|(old, _)| old == record.group()))
            }
        }
    }

    /// Applies a change, if it makes a difference.
    pub(super) fn apply(&mut self, change: &Change) {
        if !self.is_changed_by(change) {
            return;
        }
        match change {
            Change::Put(record) => {
                if let Some(finished) = self.finished_by(record) {
                    self.take(&finished);
                }
                self.take(&RecordKey::of(record));
                self.next_row += 1;
                self.insert(self.next_row, record.clone());
            }
            Change::Pause { group, name, paused } => {
                let key = RecordKey { kind: RecordKind::Download, group: group.clone(), name: name.clone() };
                let row = self.keys.get(&key).and_then(|row| self.rows.get_mut(row));
                if let Some(SlotRecord::Download(download)) = row {
                    download.paused = *paused;
                }
            }
            Change::Remove(key) => drop(self.take(key)),
            Change::Move { from, group, name } => {
                if let Some((row, record)) = self.take(from) {
                    self.insert(row, record.called(group, name));
                }
            }
            Change::RenameGroups(renamed) => self.rename_groups(renamed),
        }
    }

    /// The download that ends with this share: it has the same content and the same name.
    fn finished_by(&self, record: &SlotRecord) -> Option<RecordKey> {
        let share = record.as_share()?;
        let key = RecordKey { kind: RecordKind::Download, ..RecordKey::of(record) };
        self.get(&key).filter(|download| download.content().info_hash == share.content.info_hash).map(|_| key)
    }

    fn rename_groups(&mut self, renamed: &[(GroupId, GroupId)]) {
        let renamed: HashMap<_, _> = renamed.iter().map(|(old, new)| (old, new)).collect();
        let old = std::mem::take(self);
        self.next_row = old.next_row;
        for (row, record) in old.rows {
            let group = renamed.get(record.group()).map_or_else(|| record.group().clone(), |&new| new.clone());
            let name = record.name().clone();
            let record = record.called(&group, &name);
            // A tracker never gives two groups one name. If it happens all the same, the later record stays.
            self.take(&RecordKey::of(&record));
            self.insert(row, record);
        }
    }

    fn insert(&mut self, row: u64, record: SlotRecord) {
        self.keys.insert(RecordKey::of(&record), row);
        for subject in subjects(&record) {
            self.subjects.entry(subject).or_default().insert(row);
        }
        self.rows.insert(row, record);
    }

    fn take(&mut self, key: &RecordKey) -> Option<(u64, SlotRecord)> {
        let row = self.keys.remove(key)?;
        let record = self.rows.remove(&row)?;
        for subject in subjects(&record) {
            if let Some(rows) = self.subjects.get_mut(&subject) {
                rows.remove(&row);
                if rows.is_empty() {
                    self.subjects.remove(&subject);
                }
            }
        }
        Some((row, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::state::record::tests::{download, share};
    use crate::model::name::FileName;

    fn group(name: &str) -> GroupId {
        GroupId::parse(name).expect("a name")
    }

    fn file(name: &str) -> FileName {
        FileName::parse(name).expect("a name")
    }

    fn key(kind: RecordKind, group_name: &str, name: &str) -> RecordKey {
        RecordKey { kind, group: group(group_name), name: file(name) }
    }

    fn put_share(group: &str, name: &str, byte: u8) -> Change {
        Change::Put(SlotRecord::Share(share(group, name, byte)))
    }

    fn put_download(group: &str, name: &str, byte: u8) -> Change {
        Change::Put(SlotRecord::Download(download(group, name, byte)))
    }

    fn table(changes: &[Change]) -> RecordTable {
        let mut table = RecordTable::default();
        changes.iter().for_each(|change| table.apply(change));
        table
    }

    /// Checks that every index finds every record.
    fn check(table: &RecordTable) {
        for record in table.records() {
            assert_eq!(table.get(&RecordKey::of(record)), Some(record));
            assert!(table.of_content(record.content().info_hash).any(|found| found == record));
            if let Some(share) = record.as_share().and_then(|record| record.share) {
                assert!(table.of_share(share).any(|found| found == record));
            }
        }
        let indexed: usize = table.subjects.values().map(BTreeSet::len).sum();
        assert_eq!(indexed, table.records().map(|record| subjects(record).count()).sum::<usize>());
        assert_eq!(table.keys.len(), table.len());
    }

    #[test]
    fn records_are_found_by_name_by_content_and_by_share_whatever_changed() {
        let changes = [
            put_share("lab", "f", 2),
            put_share("lab", "g", 2),
            put_download("lab", "h", 4),
            put_share("class", "f", 6),
            put_share("lab", "f", 8),
            Change::Move { from: key(RecordKind::Share, "lab", "g"), group: group("class"), name: file("g~2") },
            Change::Pause { group: group("lab"), name: file("h"), paused: true },
            Change::RenameGroups(vec![(group("lab"), group("class")), (group("class"), group("lab"))]),
            put_share("class", "h", 4),
            Change::Remove(key(RecordKind::Share, "lab", "f")),
        ];
        let mut table = RecordTable::default();
        for change in &changes {
            assert!(table.is_changed_by(change), "{change:?}");
            table.apply(change);
            check(&table);
            if !matches!(change, Change::RenameGroups(_)) {
                assert!(!table.is_changed_by(change), "once is enough: {change:?}");
            }
        }
        let left: Vec<_> = table.records().map(|r| (r.group().to_string(), r.name().to_string())).collect();
        let expected = [("lab", "g~2"), ("class", "f"), ("class", "h")];
        assert_eq!(left, expected.map(|(group, name)| (group.to_owned(), name.to_owned())));
    }

    #[test]
    fn a_share_ends_the_download_of_its_content_under_its_name_and_no_other() {
        let mut table = table(&[put_download("lab", "f", 1), put_download("lab", "g", 3)]);
        table.apply(&put_share("lab", "f", 2));
        assert!(table.get(&key(RecordKind::Download, "lab", "f")).is_some(), "the download has other content");
        table.apply(&put_share("lab", "g", 3));
        assert!(table.get(&key(RecordKind::Download, "lab", "g")).is_none());
        check(&table);
    }

    #[test]
    fn a_share_does_not_move_to_a_name_that_is_taken() {
        let mut table = table(&[put_share("lab", "f", 1), put_share("lab", "g", 2)]);
        let moved = Change::Move { from: key(RecordKind::Share, "lab", "f"), group: group("lab"), name: file("g") };
        assert!(!table.is_changed_by(&moved));
        table.apply(&moved);
        assert_eq!(table.len(), 2);
        check(&table);
    }

    #[test]
    fn the_changes_of_a_table_make_it_again() {
        let first = table(&[put_share("lab", "f", 1), put_download("lab", "f", 2), put_share("class", "f", 3)]);
        let again = table(&first.changes());
        assert!(first.records().eq(again.records()));
    }
}
