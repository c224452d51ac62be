//! A change of a slot's records, as a line of its log.

use super::file::Fields;
use super::record::SlotRecord;
use crate::model::name::{FileName, GroupId};

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RecordKind {
    Share,
    Download,
}

/// The key of a record: at most one record has the same kind, group and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RecordKey {
    pub kind: RecordKind,
    pub group: GroupId,
    pub name: FileName,
}

impl RecordKey {
    /// The key of a record.
    pub(super) fn of(record: &SlotRecord) -> Self {
        let kind = match record {
            SlotRecord::Share(_) => RecordKind::Share,
            SlotRecord::Download(_) => RecordKind::Download,
        };
        Self { kind, group: record.group().clone(), name: record.name().clone() }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Puts a record in place of the one with its key. A share also ends the download of its content under its name.
    Put(SlotRecord),
    /// The user has paused or resumed a download.
    Pause {
        group: GroupId,
        name: FileName,
        paused: bool,
    },
    Remove(RecordKey),
    /// A share has a new group and name.
    Move {
        from: RecordKey,
        group: GroupId,
        name: FileName,
    },
    /// Groups have new names, all at once: the old one and the new one of each.
    RenameGroups(Vec<(GroupId, GroupId)>),
}

const PAUSE: &[u8] = b"pause";
const RESUME: &[u8] = b"resume";
const REMOVE: [(&[u8], RecordKind); 2] =
    [(b"remove-share", RecordKind::Share), (b"remove-download", RecordKind::Download)];
const MOVE: &[u8] = b"move-share";
const RENAME: &[u8] = b"rename-groups";

impl Change {
    /// The fields of a line.
    pub(super) fn to_fields(&self) -> Fields {
        let named = |kind: &[u8], group: &GroupId, name: &FileName| {
            vec![kind.to_vec(), group.as_str().as_bytes().to_vec(), name.as_str().as_bytes().to_vec()]
        };
        match self {
            Change::Put(record) => record.to_fields(),
            Change::Pause { group, name, paused } => named(if *paused { PAUSE } else { RESUME }, group, name),
            Change::Remove(RecordKey { kind, group, name }) => {
                let word = REMOVE.iter().find(|(_, removed)| removed == kind).map_or(&b""[..], |(word, _)| word);
                named(word, group, name)
            }
            Change::Move { from, group, name } => {
                let mut fields = named(MOVE, &from.group, &from.name);
                fields.extend(named(b"", group, name).split_off(1));
                fields
            }
            Change::RenameGroups(renamed) => {
                let names = renamed.iter().flat_map(|(old, new)| [old, new]);
                [RENAME.to_vec()].into_iter().chain(names.map(|name| name.as_str().as_bytes().to_vec())).collect()
            }
        }
    }

    /// The change in the fields of a line. `None` for fields that `to_fields` never makes.
    pub(super) fn from_fields(fields: &Fields) -> Option<Self> {
        let [word, names @ ..] = &fields[..] else { return None };
        match (word.as_slice(), names) {
            (PAUSE | RESUME, [group, name]) => {
                Some(Change::Pause { group: to_group(group)?, name: to_name(name)?, paused: *word == PAUSE })
            }
            (MOVE, [from_group, from_name, group, name]) => {
                let (from_group, from_name) = (to_group(from_group)?, to_name(from_name)?);
                let from = RecordKey { kind: RecordKind::Share, group: from_group, name: from_name };
                Some(Change::Move { from, group: to_group(group)?, name: to_name(name)? })
            }
            (RENAME, names) => {
                let (pairs, rest) = names.as_chunks::<2>();
                let pairs: Option<_> = pairs.iter().map(|[old, new]| Some((to_group(old)?, to_group(new)?))).collect();
                rest.is_empty().then(|| pairs.map(Change::RenameGroups))?
            }
            (word, names) => match (REMOVE.iter().find(|(known, _)| *known == word), names) {
                (Some((_, kind)), [group, name]) => {
                    Some(Change::Remove(RecordKey { kind: *kind, group: to_group(group)?, name: to_name(name)? }))
                }
                (Some(_), _) => None,
                (None, _) => SlotRecord::from_fields(fields).map(Change::Put),
            },
        }
    }
}

fn to_group(field: &[u8]) -> Option<GroupId> {
    GroupId::parse(std::str::from_utf8(field).ok()?).ok()
}

fn to_name(field: &[u8]) -> Option<FileName> {
    FileName::parse(std::str::from_utf8(field).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::state::record::tests::{download, share};

    fn group(name: &str) -> GroupId {
        GroupId::parse(name).expect("a name")
    }

    /// One change of each kind.
    fn changes() -> Vec<Change> {
        let name = FileName::parse("Übung 1~2").expect("a name");
        let key = |kind| RecordKey { kind, group: group("lab"), name: name.clone() };
        let pause = |paused| Change::Pause { group: group("lab"), name: name.clone(), paused };
        vec![
            Change::Put(SlotRecord::Share(share("lab", "f", 1))),
            Change::Put(SlotRecord::Download(download("lab", "f", 2))),
            pause(true),
            pause(false),
            Change::Remove(key(RecordKind::Share)),
            Change::Remove(key(RecordKind::Download)),
            Change::Move { from: key(RecordKind::Share), group: group("class"), name: name.with_suffix(3) },
            Change::RenameGroups(vec![(group("a"), group("b")), (group("b"), group("c"))]),
        ]
    }

    #[test]
    fn changes_survive_their_fields() {
        for change in changes() {
            assert_eq!(Change::from_fields(&change.to_fields()), Some(change));
        }
    }

    #[test]
    fn a_field_too_few_or_too_many_or_that_is_no_name_makes_the_change_worthless() {
        for change in changes() {
            let fields = change.to_fields();
            let without = fields[..fields.len() - 1].to_vec();
            let with = fields.iter().cloned().chain([b"lab".to_vec()]).collect();
            let mut unnamed = fields.clone();
            unnamed[1] = b"a//b".to_vec();
            for wrong in [without, with, unnamed, vec![], vec![b"grant".to_vec()]] {
                assert_eq!(Change::from_fields(&wrong), None, "{change:?}");
            }
        }
    }
}
