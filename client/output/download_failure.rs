//! Why a download has ended without the file, for people and for programs.

/// What a person is told, and what a program can go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadFailure {
    pub code: FailureCode,
    /// One line.
    pub why: String,
}

/// The kinds of reasons. Programs are told the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCode {
    /// For as long as the download waits, no member has been online that has what is missing.
    NoMember,
    /// Members were online for as long as the download waits, and none that has what is missing was reached.
    Unreached,
    /// Every member that had it sent what no honest client sends.
    OnlyLiars,
    /// The complete file is not what the member who shared it said.
    WrongSha1,
    /// The user is no longer a member of the group.
    NotMember,
    /// Nobody has shared the file for a long time, and the trackers have forgotten it.
    Forgotten,
    /// No tracker that knows of the file was reached.
    NoTracker,
    DiskFull,
    /// Something else lies where the file should go.
    Obstructed,
    /// Somebody else has changed or removed the unfinished file.
    PartChanged,
    /// The system refuses to read or write, or to start a thread.
    System,
    /// The client is closing.
    Closing,
}
