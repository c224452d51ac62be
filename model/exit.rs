//! How a program ends: the exit codes, which mean the same for both programs.

use std::process::ExitCode;

/// The exit code that a program leaves to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Success = 0,
    /// The program could not do something that it was asked for.
    Refused = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The program cannot start.
    CannotStart = 3,
    /// No tracker could be reached.
    NoTracker = 4,
    DownloadFailed = 5,
    /// The program could not write its results.
    OutputLost = 6,
    /// A command was sent, and its outcome is unknown.
    Torn = 7,
    /// A signal ended the program.
    Interrupted = 130,
}

/// What the client's exit codes mean.
pub const OF_CLIENT: &[(Exit, &str)] = &[
    (Exit::Success, "all went well, or a person at the prompt saw what did not"),
    (Exit::Refused, "a command of a script was refused or has failed"),
    (Exit::Usage, "the command line is wrong"),
    (Exit::CannotStart, "the client cannot start"),
    (Exit::NoTracker, "a command of a script has failed because no tracker could be reached"),
    (Exit::DownloadFailed, "a download of a script has failed"),
    (Exit::OutputLost, "results could not be written, as when the disk is full"),
    (Exit::Interrupted, "the client was ended by ctrl-C in a script, or by another signal"),
];

/// What the tracker's exit codes mean.
pub const OF_TRACKER: &[(Exit, &str)] = &[
    (Exit::Success, "the tracker was stopped by quit, ctrl-C or SIGTERM, or has done its work"),
    (Exit::Refused, "--check has found damage; --check, --repair or the command of ctl could not be done"),
    (Exit::Usage, "the command line is wrong"),
    (Exit::CannotStart, "the tracker cannot start"),
    (Exit::NoTracker, "no tracker runs that can carry out the command of ctl"),
    (Exit::OutputLost, "the answer to a command of ctl could not be written, as when the disk is full"),
    (Exit::Torn, "the tracker ended or fell silent before the end of its answer to ctl; it may have made the change"),
    (Exit::Interrupted, "the tracker was ended by a second signal while it was stopping, or ctl by ctrl-C"),
];

/// What `--help` prints: the usage and a paragraph of exit codes. Lines of the usage end without the blanks that
/// getopts leaves.
pub fn help(usage: &str, codes: &[(Exit, &str)]) -> String {
    let usage: Vec<&str> = usage.trim_end().lines().map(str::trim_end).collect();
    let lines = codes.iter().map(|(exit, meaning)| format!("\n    {:<3} {meaning}", *exit as u8));
    format!("{}\n\nExit codes:{}", usage.join("\n"), lines.collect::<String>())
}

impl Exit {
    /// The exit of a command with this code. An unknown code counts as refused.
    pub fn of_command(code: u8) -> Self {
        let known = [Exit::Success, Exit::Usage, Exit::NoTracker];
        known.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Exit::Refused)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
