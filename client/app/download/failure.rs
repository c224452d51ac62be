//! The words and the code for a failed download, for people and for programs.

use crate::client::download::error::DownloadError;
use crate::client::output::download_failure::{DownloadFailure, FailureCode};
use crate::client::storage::part::{Foreign, PartError};
use crate::client::storage::piece_source::SourceError;

/// The reason in words, and its code.
pub(super) fn failure_of(error: &DownloadError) -> DownloadFailure {
    DownloadFailure { code: code_of(error), why: error.to_string() }
}

/// The code of an error, for programs.
fn code_of(error: &DownloadError) -> FailureCode {
    match error {
        DownloadError::NobodyHasIt => FailureCode::NoMember,
        DownloadError::NobodyReached(_) => FailureCode::Unreached,
        DownloadError::OnlyLiars(..) => FailureCode::OnlyLiars,
        DownloadError::WrongSha1 => FailureCode::WrongSha1,
        DownloadError::NotMember => FailureCode::NotMember,
        DownloadError::Forgotten => FailureCode::Forgotten,
        DownloadError::NoTracker => FailureCode::NoTracker,
        DownloadError::Closing => FailureCode::Closing,
        DownloadError::Write(PartError::DiskFull(..)) => FailureCode::DiskFull,
        DownloadError::Write(PartError::Foreign(_, Foreign::Replaced) | PartError::FolderGone(_))
        | DownloadError::Read(
            SourceError::Changed(_) | SourceError::Link(_) | SourceError::Gone(_) | SourceError::Unfinished(_),
        ) => FailureCode::PartChanged,
        DownloadError::Write(PartError::Io(..))
        | DownloadError::Read(SourceError::Io(..))
        | DownloadError::NoThread(_) => FailureCode::System,
        DownloadError::Write(_) => FailureCode::Obstructed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::path::PathBuf;

    #[test]
    fn a_program_can_tell_a_full_disk_from_a_file_in_the_way_and_a_changed_part_from_a_broken_disk() {
        let (path, broken) = (|| PathBuf::from("/f"), || io::Error::other("broken"));
        for (error, code) in [
            (PartError::DiskFull(path(), 1).into(), FailureCode::DiskFull),
            (PartError::Exists(path()).into(), FailureCode::Obstructed),
            (PartError::OtherContent(path()).into(), FailureCode::Obstructed),
            (PartError::FolderGone(path()).into(), FailureCode::PartChanged),
            (PartError::Foreign(path(), Foreign::Link).into(), FailureCode::Obstructed),
            (PartError::Foreign(path(), Foreign::Replaced).into(), FailureCode::PartChanged),
            (SourceError::Unfinished(path()).into(), FailureCode::PartChanged),
            (PartError::Io(path(), "write", broken()).into(), FailureCode::System),
            (SourceError::Io(path(), broken()).into(), FailureCode::System),
            (DownloadError::NobodyHasIt, FailureCode::NoMember),
        ] {
            assert_eq!(code_of(&error), code, "{error}");
        }
    }
}
