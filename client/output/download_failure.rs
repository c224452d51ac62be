//! Why a download has ended without its file, for people and for programs.

/// The words for a person, and the code for a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadFailure {
    pub code: FailureCode,
    /// One line.
    pub why: String,
}

/// The kinds of reasons. Programs get the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCode {
    /// While the download waited, no member with the missing pieces was online.
    NoMember,
    /// While the download waited, members with the missing pieces were online, but none was reached.
    Unreached,
    /// Every member with the file sent something that no honest client sends.
    OnlyLiars,
    /// The complete file does not match the SHA-1 of the member that shared it.
    WrongSha1,
    /// The user is no longer a member of the group.
    NotMember,
    /// No member has shared the file for a long time, and the trackers have forgotten it.
    Forgotten,
    /// The client reached no tracker that knows the file.
    NoTracker,
    DiskFull,
    /// Something else has the place of the file.
    Obstructed,
    /// Another program has changed or removed the unfinished file.
    PartChanged,
    /// The system refuses to read or write, or to start a thread.
    System,
    /// The client is closing.
    Closing,
}
