//! The records of a client's state: its shares and its unfinished downloads.

use super::file::Fields;
use crate::client::storage::file_stamp::StampsDigest;
use crate::model::digest::{InfoHash, Sha1Digest};
use crate::model::id::{OpId, Origin, ShareRef};
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId};
use crate::model::piece::Layout;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One share of this client. A group has at most one share of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRecord {
    /// In which group.
    pub group: GroupId,
    /// Under which name.
    pub name: FileName,
    /// Absolute path of the file or folder.
    pub path: PathBuf,
    /// The hashed content.
    pub content: Content,
    /// The number of the share, if a tracker has told it.
    pub share: Option<ShareRef>,
    /// The stamps of the files when they were hashed. As long as the stamps match, the files need no new hash.
    pub stamps: StampsDigest,
}

/// One unfinished download of this client. At most one download of a share of a group runs at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadRecord {
    /// From which group.
    pub group: GroupId,
    /// The name it is shared under.
    pub name: FileName,
    /// The absolute path of the destination.
    pub destination: PathBuf,
    /// The exact content.
    pub content: Content,
    /// The share of the download.
    pub share: ShareRef,
    /// Whether the user has paused it.
    pub paused: bool,
    /// The wanted files of a folder, if not all.
    pub part: Option<FolderPart>,
}

/// The maximum number of patterns for a part of a folder.
pub(crate) const PATTERNS_MAX: usize = 64;

/// A part of a folder, downloaded or being downloaded.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FolderPart {
    /// Patterns of paths below the folder. A file is wanted if any pattern matches it.
    pub patterns: Vec<String>,
    /// The stamps of the files when they were complete; `None` before that.
    pub held: Option<StampsDigest>,
    /// The part that was complete when the user asked for more of the folder. `None` once the rest is complete too.
    pub before: Option<HeldPart>,
}

/// A complete part of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPart {
    pub patterns: Vec<String>,
    pub stamps: StampsDigest,
}

impl DownloadRecord {
    /// Whether this is a complete part of a folder.
    pub fn is_held(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.held.is_some())
    }
}

/// Stands for the stamps of an incomplete part.
const NOT_HELD: &str = "-";
/// Separates the patterns of a part from those of the earlier complete part, and is no pattern itself.
const BEFORE: &str = "//";
const PAUSED: &str = "paused";
const RUNNING: &str = "running";
/// Stands for the unknown number of a share.
const NO_SHARE: &str = "-";

/// A line of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SlotRecord {
    Share(ShareRecord),
    Download(DownloadRecord),
}

/// The part of a folder in the fields behind those of every download.
fn part_from_fields(fields: &[Vec<u8>]) -> Option<FolderPart> {
    let text = |field: &Vec<u8>| String::from_utf8(field.clone()).ok();
    let texts = |fields: &[Vec<u8>]| fields.iter().map(text).collect::<Option<Vec<_>>>();
    let stamps = |field| Some(StampsDigest(Sha1Digest::from_hex(&text(field)?)?));
    let (held, patterns) = fields.split_first()?;
    let held = if held == NOT_HELD.as_bytes() { None } else { Some(stamps(held)?) };
    let (patterns, before) = match patterns.iter().position(|field| field == BEFORE.as_bytes()) {
        None => (patterns, None),
        Some(at) => {
            let (stamped, before) = patterns[at + 1..].split_first()?;
            (&patterns[..at], Some(HeldPart { patterns: texts(before)?, stamps: stamps(stamped)? }))
        }
    };
    Some(FolderPart { patterns: texts(patterns)?, held, before })
}

impl SlotRecord {
    /// The fields of a line.
    pub(crate) fn to_fields(&self) -> Fields {
        let text = |text: &str| text.as_bytes().to_vec();
        let (kind, group, name, path, content) = match self {
            SlotRecord::Share(share) => ("share", &share.group, &share.name, &share.path, &share.content),
            SlotRecord::Download(it) => ("download", &it.group, &it.name, &it.destination, &it.content),
        };
        let Content { layout, sha1, info_hash, file_count } = content;
        let mut fields = vec![
            text(kind),
            text(group.as_str()),
            text(name.as_str()),
            path.as_os_str().as_bytes().to_vec(),
            text(&info_hash.to_string()),
            text(&sha1.to_string()),
            text(&layout.size().to_string()),
            text(&file_count.to_string()),
        ];
        match self {
            SlotRecord::Share(share) => {
                fields.push(text(&share.stamps.0.to_string()));
                fields.push(text(&share.share.map_or(NO_SHARE.to_owned(), share_to_text)));
            }
            SlotRecord::Download(download) => {
                fields.push(text(if download.paused { PAUSED } else { RUNNING }));
                fields.push(text(&share_to_text(download.share)));
                if let Some(FolderPart { patterns, held, before }) = &download.part {
                    fields.push(text(&held.map_or(NOT_HELD.to_owned(), |stamps| stamps.0.to_string())));
                    fields.extend(patterns.iter().map(|pattern| text(pattern)));
                    if let Some(HeldPart { patterns, stamps }) = before {
                        fields.extend([text(BEFORE), text(&stamps.0.to_string())]);
                        fields.extend(patterns.iter().map(|pattern| text(pattern)));
                    }
                }
            }
        }
        fields
    }

    /// The record in the fields of a line. `None` for fields that `to_fields` never makes.
    pub(crate) fn from_fields(fields: &Fields) -> Option<Self> {
        fn text(field: &[u8]) -> Option<&str> {
            std::str::from_utf8(field).ok()
        }
        let [kind, group, name, path, info_hash, sha1, size, file_count, last @ ..] = &fields[..] else {
            return None;
        };
        let group = GroupId::parse(text(group)?).ok()?;
        let name = FileName::parse(text(name)?).ok()?;
        let path = PathBuf::from(OsString::from_vec(path.clone()));
        let content = Content {
            layout: Layout::new(text(size)?.parse().ok()?)?,
            sha1: Sha1Digest::from_hex(text(sha1)?)?,
            info_hash: InfoHash::from_hex(text(info_hash)?)?,
            file_count: text(file_count)?.parse().ok()?,
        };
        if !path.is_absolute() {
            return None;
        }
        match (text(kind)?, last) {
            ("share", [stamps, share]) => {
                let stamps = StampsDigest(Sha1Digest::from_hex(text(stamps)?)?);
                let share = match text(share)? {
                    NO_SHARE => None,
                    known => Some(share_from_text(known)?),
                };
                Some(SlotRecord::Share(ShareRecord { group, name, path, content, share, stamps }))
            }
            ("download", [state, share, part @ ..]) => {
                let paused = match text(state)? {
                    PAUSED => true,
                    RUNNING => false,
                    _ => return None,
                };
                let share = share_from_text(text(share)?)?;
                let part = if part.is_empty() { None } else { Some(part_from_fields(part)?) };
                let destination = path;
                Some(SlotRecord::Download(DownloadRecord { group, name, destination, content, share, paused, part }))
            }
            _ => None,
        }
    }

    /// The share, if it is one.
    pub(crate) fn as_share(&self) -> Option<&ShareRecord> {
        match self {
            SlotRecord::Share(share) => Some(share),
            SlotRecord::Download(_) => None,
        }
    }

    /// The download, if it is one.
    pub(crate) fn as_download(&self) -> Option<&DownloadRecord> {
        match self {
            SlotRecord::Share(_) => None,
            SlotRecord::Download(download) => Some(download),
        }
    }

    /// The same record under this name in this group.
    pub(crate) fn called(mut self, group: &GroupId, name: &FileName) -> Self {
        let (own_group, own_name) = match &mut self {
            SlotRecord::Share(share) => (&mut share.group, &mut share.name),
            SlotRecord::Download(download) => (&mut download.group, &mut download.name),
        };
        (*own_group, *own_name) = (group.clone(), name.clone());
        self
    }

    /// The path of the share, or the destination of the download.
    pub(crate) fn path(&self) -> &Path {
        match self {
            SlotRecord::Share(share) => &share.path,
            SlotRecord::Download(download) => &download.destination,
        }
    }

    /// Its group.
    pub(crate) fn group(&self) -> &GroupId {
        match self {
            SlotRecord::Share(share) => &share.group,
            SlotRecord::Download(download) => &download.group,
        }
    }

    /// The name it is shared under.
    pub(crate) fn name(&self) -> &FileName {
        match self {
            SlotRecord::Share(share) => &share.name,
            SlotRecord::Download(download) => &download.name,
        }
    }

    /// The content of the record.
    pub(crate) fn content(&self) -> &Content {
        match self {
            SlotRecord::Share(share) => &share.content,
            SlotRecord::Download(download) => &download.content,
        }
    }
}

fn share_to_text(share: ShareRef) -> String {
    let OpId { origin: Origin { tracker, incarnation }, seq } = share.0;
    format!("{tracker}.{incarnation}.{seq}")
}

fn share_from_text(text: &str) -> Option<ShareRef> {
    let mut numbers = text.split('.');
    let tracker = numbers.next()?.parse().ok()?;
    let incarnation = numbers.next()?.parse().ok()?;
    let seq = numbers.next()?.parse().ok()?;
    numbers.next().is_none().then_some(ShareRef(OpId { origin: Origin { tracker, incarnation }, seq }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::manifest::{FileEntry, Manifest};
    use crate::model::path::RelPath;
    use crate::wire;

    /// A manifest that differs for each byte.
    pub(crate) fn manifest(byte: u8) -> Manifest {
        let file = FileEntry { path: RelPath::parse("f").expect("a path"), len: 3 };
        Manifest::new(vec![file], vec![Sha1Digest([byte; 20])]).expect("one file")
    }

    fn content(byte: u8) -> Content {
        let (_, info_hash) = wire::manifest::encode(&manifest(byte)).expect("short");
        Content { layout: manifest(byte).layout(), sha1: Sha1Digest([byte; 20]), info_hash, file_count: 1 }
    }

    pub(crate) fn share_ref(byte: u8) -> ShareRef {
        let origin = Origin { tracker: byte.into(), incarnation: u64::MAX - u64::from(byte) };
        ShareRef(OpId { origin, seq: byte.into() })
    }

    /// A share that differs for each byte.
    pub(crate) fn share(group: &str, name: &str, byte: u8) -> ShareRecord {
        ShareRecord {
            group: GroupId::parse(group).expect("a name"),
            name: FileName::parse(name).expect("a name"),
            path: PathBuf::from(OsString::from_vec(b"/home/a b/\xff\n".to_vec())),
            content: content(byte),
            share: byte.is_multiple_of(2).then_some(share_ref(byte)),
            stamps: StampsDigest(Sha1Digest([byte; 20])),
        }
    }

    /// A download that differs for each byte.
    pub(crate) fn download(group: &str, name: &str, byte: u8) -> DownloadRecord {
        let ShareRecord { group, name, path, content, .. } = share(group, name, byte);
        let part = byte.is_multiple_of(3).then(|| FolderPart {
            patterns: vec!["a b/*.txt".to_owned(), String::new()],
            held: byte.is_multiple_of(2).then_some(StampsDigest(Sha1Digest([byte; 20]))),
            before: (byte > 6)
                .then(|| HeldPart { patterns: vec!["c".to_owned()], stamps: StampsDigest(Sha1Digest([byte; 20])) }),
        });
        let (share, paused) = (share_ref(byte), byte % 2 == 1);
        DownloadRecord { group, name, destination: path, content, share, paused, part }
    }

    #[test]
    fn records_survive_their_fields() {
        for record in [
            SlotRecord::Share(share("lab", "Übung 1~2", 1)),
            SlotRecord::Share(share("lab", "f", 2)),
            SlotRecord::Download(download("g", "f", 2)),
            SlotRecord::Download(download("g", "f", 3)),
            SlotRecord::Download(download("g", "f", 6)),
            SlotRecord::Download(download("g", "f", 9)),
        ] {
            assert_eq!(SlotRecord::from_fields(&record.to_fields()), Some(record));
        }
    }

    #[test]
    fn any_field_that_is_wrong_makes_the_record_worthless() {
        let bad: [&[u8]; 10] = [b"Share", b"", b"a//b", b"relative", b"00", b"zz", b"-1", b"x", b"gone", b"1.2"];
        for good in [SlotRecord::Share(share("lab", "f", 1)), SlotRecord::Download(download("lab", "f", 1))] {
            let good = good.to_fields();
            for (at, bad) in bad.into_iter().enumerate() {
                let mut fields = good.clone();
                fields[at] = bad.to_vec();
                assert_eq!(SlotRecord::from_fields(&fields), None, "field {at}");
            }
            assert_eq!(SlotRecord::from_fields(&good[..9].to_vec()), None);
        }
    }
}
