//! The folders of a slot that share into a group or follow one: a few records, in a file that is replaced with every
//! change.

use super::file::{self, Fields, StateError};
use crate::client::folder::node::FolderNode;
use crate::model::escape::ShownPath;
use crate::model::name::GroupId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const KIND: &str = "groupshare client folders";
const VERSION: u32 = 1;
const SHARED: &[u8] = b"shared";
const FOLLOWS: &[u8] = b"follows";
/// Stands for an unknown creation time of a folder.
const NOT_KNOWN: &[u8] = b"-";

/// The relation between a folder and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bond {
    /// The group shares the files of the folder.
    Shared,
    /// The shares of the group come into the folder, up to this many bytes.
    Follows(u64),
}

/// A folder and its group. No two of them overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderRecord {
    pub group: GroupId,
    /// Absolute, without a symbolic link when the user named it.
    pub path: PathBuf,
    /// The identity of the folder. Another folder at this path does not count.
    pub node: FolderNode,
    pub bond: Bond,
}

impl FolderRecord {
    /// Whether the files of the folder are shared.
    pub(crate) fn is_shared(&self) -> bool {
        self.bond == Bond::Shared
    }

    /// Whether one folder contains the other.
    pub(crate) fn overlaps(&self, path: &Path) -> bool {
        self.path.starts_with(path) || path.starts_with(&self.path)
    }

    fn to_fields(&self) -> Fields {
        let number = |number: u64| number.to_string().into_bytes();
        let FolderNode { device, inode, born } = self.node;
        let kind = if self.is_shared() { SHARED } else { FOLLOWS };
        let mut fields = vec![
            kind.to_vec(),
            self.group.as_str().as_bytes().to_vec(),
            self.path.as_os_str().as_bytes().to_vec(),
            number(device),
            number(inode),
        ];
        fields.extend(born.map_or([NOT_KNOWN.into(), NOT_KNOWN.into()], |born| {
            [number(born.as_secs()), number(born.subsec_nanos().into())]
        }));
        if let Bond::Follows(max_size) = self.bond {
            fields.push(number(max_size));
        }
        fields
    }

    fn from_fields(fields: &Fields) -> Option<Self> {
        fn number(field: &[u8]) -> Option<u64> {
            std::str::from_utf8(field).ok()?.parse().ok()
        }
        let [kind, group, path, device, inode, secs, nanos, rest @ ..] = &fields[..] else { return None };
        let bond = match (kind.as_slice(), rest) {
            (SHARED, []) => Bond::Shared,
            (FOLLOWS, [max_size]) => Bond::Follows(number(max_size)?),
            _ => return None,
        };
        let group = GroupId::parse(std::str::from_utf8(group).ok()?).ok()?;
        let path = PathBuf::from(OsString::from_vec(path.clone()));
        let nanos = number(nanos).and_then(|nanos| u32::try_from(nanos).ok()).filter(|nanos| *nanos < 1_000_000_000);
        let born = number(secs).zip(nanos).map(|(secs, nanos)| Duration::new(secs, nanos));
        let node = FolderNode { device: number(device)?, inode: number(inode)?, born };
        path.is_absolute().then_some(Self { group, path, node, bond })
    }
}

fn save(path: &Path, records: &[FolderRecord]) -> Result<(), StateError> {
    let fields: Vec<Fields> = records.iter().map(FolderRecord::to_fields).collect();
    let lines: Vec<Vec<&[u8]>> = fields.iter().map(|line| line.iter().map(Vec::as_slice).collect()).collect();
    file::write(path, KIND, VERSION, &lines)
}

/// The records. Every change is on the disk when the call returns. A failed call changes nothing.
#[derive(Debug)]
pub(crate) struct FolderRecords {
    path: PathBuf,
    /// Locked while they are written. `None` once the slot is closed.
    records: Mutex<Option<Vec<FolderRecord>>>,
}

impl FolderRecords {
    /// Reads the file at a path. Also returns a line for the user if the file was damaged.
    ///
    /// # Errors
    /// `Newer`, `Io`.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Option<String>), StateError> {
        let Some(read) = file::read(&path, KIND, VERSION)? else {
            return Ok((Self { path, records: Mutex::new(Some(Vec::new())) }, None));
        };
        let records: Vec<_> = read.records.iter().filter_map(FolderRecord::from_fields).collect();
        let damaged = read.damaged || records.len() < read.records.len();
        let warning = damaged.then(|| file::keep_aside(&path)).transpose()?.map(|aside| {
            // At the next login the file would be damaged again, and kept once more.
            save(&path, &records)?;
            Ok(format!(
                "the list of shared folders and followed groups could not be read in full and is kept in {}; see \
                 show_folders for what is missing",
                ShownPath(&aside)
            ))
        });
        let warning = warning.transpose()?;
        Ok((Self { path, records: Mutex::new(Some(records)) }, warning))
    }

    /// All of them, in the order in which they were put.
    pub(crate) fn list(&self) -> Vec<FolderRecord> {
        self.records.lock().clone().unwrap_or_default()
    }

    /// Whether shares of a group come to this place by themselves.
    pub(crate) fn follows_into(&self, group: &GroupId, path: &Path) -> bool {
        let is_it =
            |folder: &FolderRecord| !folder.is_shared() && folder.group == *group && path.starts_with(&folder.path);
        self.records.lock().as_ref().is_some_and(|records| records.iter().any(is_it))
    }

    /// Puts a folder in place of the one with its path.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub(crate) fn put(&self, folder: FolderRecord) -> Result<(), StateError> {
        self.change(|records| {
            records.retain(|other| other.path != folder.path);
            records.push(folder);
        })
    }

    /// Removes folders.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub(crate) fn remove_where(&self, which: impl Fn(&FolderRecord) -> bool) -> Result<(), StateError> {
        self.change(|records| records.retain(|folder| !which(folder)))
    }

    pub(super) fn rename_groups(&self, renamed: &HashMap<GroupId, GroupId>) -> Result<(), StateError> {
        self.change(|records| {
            for folder in records {
                if let Some(new) = renamed.get(&folder.group) {
                    folder.group = new.clone();
                }
            }
        })
    }

    /// Takes the records of another slot, and then removes them there.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub(super) fn take_over(&self, other: &Self) -> Result<(), StateError> {
        let theirs = other.list();
        self.change(|records| {
            let overlaps = |folder: &FolderRecord| records.iter().any(|other| other.overlaps(&folder.path));
            let new: Vec<_> = theirs.into_iter().filter(|folder| !overlaps(folder)).collect();
            records.extend(new);
        })?;
        other.remove_where(|_| true)
    }

    pub(super) fn close(&self) {
        self.records.lock().take();
    }

    fn change(&self, change: impl FnOnce(&mut Vec<FolderRecord>)) -> Result<(), StateError> {
        let mut records = self.records.lock();
        let before = records.as_ref().ok_or(StateError::Closed)?;
        let mut after = before.clone();
        change(&mut after);
        if after != *before {
            save(&self.path, &after)?;
            *records = Some(after);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(group: &str, path: &str) -> FolderRecord {
        let bond = if path.ends_with('b') { Bond::Follows(10) } else { Bond::Shared };
        let born = path.ends_with('b').then(|| Duration::new(u64::MAX, 999_999_999));
        let node = FolderNode { device: 7, inode: u64::MAX, born };
        FolderRecord { group: GroupId::parse(group).expect("a name"), path: path.into(), node, bond }
    }

    fn open(path: &Path) -> FolderRecords {
        let (records, warning) = FolderRecords::open(path.to_path_buf()).expect("read");
        assert_eq!(warning, None);
        records
    }

    #[test]
    fn folders_are_remembered_until_they_are_removed() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("folders");
        let records = open(&path);
        assert_eq!(records.list(), []);
        records.put(folder("lab", "/home/a b\n\t")).expect("written");
        records.put(folder("class", "/srv")).expect("written");
        let renamed = HashMap::from([(folder("lab", "/").group, folder("lab~2", "/").group)]);
        records.rename_groups(&renamed).expect("written");
        let all = [folder("lab~2", "/home/a b\n\t"), folder("class", "/srv")];
        assert_eq!((records.list(), open(&path).list()), (all.to_vec(), all.to_vec()));
        records.remove_where(|folder| folder.group.as_str() == "class").expect("written");
        assert_eq!(open(&path).list(), all[..1]);
        records.close();
        assert!(matches!(records.put(folder("lab", "/x")), Err(StateError::Closed)));
    }

    #[test]
    fn a_folder_of_another_client_comes_over_unless_it_overlaps() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let (own, other) = (open(&temp.path().join("a")), open(&temp.path().join("b")));
        own.put(folder("lab", "/srv/a")).expect("written");
        for path in ["/srv/a", "/srv", "/srv/a/b", "/srv/ab"] {
            other.put(folder("lab", path)).expect("written");
        }
        own.take_over(&other).expect("written");
        assert_eq!(own.list(), [folder("lab", "/srv/a"), folder("lab", "/srv/ab")]);
        assert_eq!(other.list(), []);
    }

    #[test]
    fn a_damaged_file_is_kept_aside_and_what_can_be_read_of_it_counts() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("folders");
        let records = open(&path);
        records.put(folder("lab", "/srv")).expect("written");
        let whole = fs::read_to_string(&path).expect("there");
        fs::write(&path, whole.replace("\\end", "shared\tlab\trelative\t1\t1\t-\t-\n\\end")).expect("written");
        let (records, warning) = FolderRecords::open(path.clone()).expect("read");
        assert_eq!(records.list(), [folder("lab", "/srv")]);
        assert!(warning.is_some());
        // The user reads it once.
        assert_eq!(open(&path).list(), [folder("lab", "/srv")]);
    }
}
