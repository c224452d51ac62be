//! The table of commands: their names, arguments and effects. The parser, `help` and the check of the README's list all
//! read this one table.

use std::fmt;

macro_rules! commands {
    ($($word:ident $names:expr, $arguments:literal $counts:expr, $summary:literal $details:literal)*) => {
        /// The commands by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Word {
            $(#[doc = $summary] $word,)*
        }

        /// Every command, in the order in which `help` lists them.
        pub const COMMANDS: &[Usage] = &[
            $(Usage {
                word: Word::$word,
                names: &$names,
                arguments: $arguments,
                counts: &$counts,
                summary: $summary,
                details: $details,
            },)*
        ];
    };
}

/// One command of the table.
#[derive(Debug)]
pub struct Usage {
    /// The command.
    pub word: Word,
    /// The names to type. The first is the proper name.
    pub names: &'static [&'static str],
    /// The documented arguments; empty if there are none.
    pub arguments: &'static str,
    /// The allowed numbers of arguments.
    pub counts: &'static [usize],
    /// The effect, in one line.
    pub summary: &'static str,
    /// Further facts, in lines.
    pub details: &'static str,
}

commands! {
    CreateUser ["create_user"], "<user_id> [password]" [1, 2],
        "create an account"
        "Without the password the client asks for it and hides what you type; in a script it is the next line."
    Login ["login"], "<user_id> [password]" [1, 2],
        "log in; sharing and unfinished downloads go on"
        "Without the password the client asks for it and hides what you type; in a script it is the next line.\n\
         You may be logged in from several clients at once."
    Logout ["logout"], "" [0],
        "log out; sharing stops and downloads pause until the next login"
        ""
    ChangePassword ["change_password"], "[<old_password> <new_password>]" [0, 2],
        "change your password"
        "Without the passwords the client asks for them and hides what you type; in a script they are the next 2 lines."
    CreateGroup ["create_group"], "<group_id>" [1],
        "create a group and be its owner"
        ""
    JoinGroup ["join_group"], "<group_id>" [1],
        "join an open group, or ask the owners of a group to let you in"
        ""
    LeaveGroup ["leave_group"], "<group_id>" [1],
        "leave a group, or withdraw your request to join it"
        "You stop sharing your files there, and your downloads from it end. If you are its only owner, the member\n\
         who has been in it longest becomes its owner."
    ListRequests ["list_requests"], "<group_id>" [1],
        "list who asks to join your group"
        ""
    AcceptRequest ["accept_request"], "<group_id> <user_id>" [2],
        "let a user into your group"
        ""
    RejectRequest ["reject_request"], "<group_id> <user_id>" [2],
        "turn down a user's request to join"
        ""
    RemoveMember ["remove_member"], "<group_id> <user_id>" [2],
        "remove a member from your group"
        ""
    AddMember ["add_member"], "<group_id> <user_id>" [2],
        "add a user to your group without a request"
        "The user is told, and can leave. set_adding forbid keeps owners from adding you."
    MakeOwner ["make_owner"], "<group_id> <user_id>" [2],
        "make a member an owner of your group too"
        "All owners accept, reject and remove alike. No owner can remove the founder of the group."
    DropOwner ["drop_owner"], "<group_id> <user_id>" [2],
        "make an owner of your group, or yourself, a plain member"
        "The group keeps at least one owner. Only the founder can drop the founder."
    SetGroup ["set_group"], "<group_id> <open|ask|closed>" [2],
        "choose who may join: everybody, those you accept, or nobody"
        "Opening a group lets in all who wait; closing it turns them down. Owners can always add members."
    SetAdding ["set_adding"], "<allow|forbid>" [1],
        "let owners add you to their groups, or forbid it"
        ""
    ListMembers ["list_members"], "<group_id>" [1],
        "list the members of a group you are in"
        ""
    ListGroups ["list_groups"], "" [0],
        "list all groups"
        ""
    ListFiles ["list_files"], "<group_id> [pattern] [--sort <order>]" [1, 2, 3, 4],
        "list the files shared in a group you are in"
        "In a pattern '*' stands for any characters, '?' for one, and [a-z] for one of these. A small letter\n\
         matches the capital too. A text without these signs matches every name that contains it. The order is\n\
         name, size (the largest first) or members (most members online first). 'photos/' lists what is in a shared\n\
         folder, and 'photos/2024/*.jpg' a part of it."
    Find ["find"], "<pattern> [--sort <order>]" [1, 3],
        "find files by their names in all groups you are in"
        "The pattern and the order are as in list_files."
    UploadFile ["upload_file"], "<file_path> <group_id>" [2],
        "share a file or folder in a group"
        "The file stays where it is and is not copied. The order <group_id> <file_path> works too: the path is the\n\
         argument with a '/', or the only one that exists. The client leaves out symbolic links and empty\n\
         folders inside a shared folder."
    DownloadFile ["download_file"], "<group_id> <file_name> <destination_path>" [3],
        "download a file in the background"
        "The destination is a folder or the new file's name. The client overwrites nothing. The file name\n\
         'photos/2024' downloads only that part of the shared folder photos, and 'photos/*.jpg' the files that\n\
         match. Later downloads of other parts to the same destination add to it."
    UpdateFile ["update_file"], "<group_id> <file_name> [destination_path]" [2, 3],
        "take the new version of a file that you have"
        "Equal blocks come from your file, so the client fetches only the difference. The new version replaces your\n\
         file, unless you have changed it. With a destination the new version goes there and your file stays. A\n\
         download of the old version continues with the new one."
    ShowDownloads ["show_downloads"], "" [0],
        "show downloads and how far they are"
        "[D] is downloading, [C] is complete, [F] has failed. Downloads that receive data come first. A line ends with\n\
         what each member has delivered and the way of the connection: direct, called, punched or relayed."
    ShowUploads ["show_uploads"], "" [0],
        "show what you give to whom"
        ""
    Watch ["watch"], "" [0],
        "watch downloads and uploads until a key is pressed"
        "Without a terminal the client shows them once."
    Notices ["notices"], "" [0],
        "show again what you were told"
        "The latest comes first. The client keeps the last 500, also those of earlier runs."
    PauseDownload ["pause_download"], "<group_id> <file_name>" [2],
        "pause a download"
        ""
    ResumeDownload ["resume_download"], "<group_id> <file_name>" [2],
        "resume a paused or failed download"
        ""
    CancelDownload ["cancel_download"], "<group_id> <file_name>" [2],
        "cancel a download and remove what it has stored"
        ""
    StopShare ["stop_share"], "<group_id> <file_name>" [2],
        "stop sharing a file in a group"
        "The file itself stays."
    ShareFolder ["share_folder"], "<folder_path> <group_id>" [2],
        "share every file of a folder, and its changes from now on"
        "Each file is shared under its path in the folder, once nothing has changed it for 2 seconds. A new version\n\
         replaces the old one. A file that you remove is no longer shared. If more than 20 files, or half of all\n\
         files, are gone at once, the client asks first. In a script those files stay shared until you repeat\n\
         share_folder. Hidden files, unfinished downloads and links are left out. The sharing goes on at the next\n\
         login."
    UnshareFolder ["unshare_folder"], "<folder_path>" [1],
        "stop sharing a folder and its files"
        "The files themselves stay."
    FollowGroup ["follow_group"], "<group_id> <folder> [--all] [--max-size=N]" [2, 3, 4],
        "download into a folder all that a group shares from now on"
        "With --all the client also takes what is shared there already. A new version by the same sharer replaces\n\
         the old one, unless you have changed the old one. Nothing of yours is overwritten. A file that its sharer\n\
         removes stays with you. All files that come take 10 GiB at most, or --max-size bytes such as 500M. The\n\
         files of one sharer never take more of this room than stays free. 5 % of the disk stay free. Following\n\
         goes on at the next login."
    UnfollowGroup ["unfollow_group"], "<group_id>" [1],
        "stop following a group; downloaded files stay"
        ""
    ShowFolders ["show_folders", "show_follows"], "" [0],
        "show shared folders and followed groups"
        ""
    Limit ["limit"], "[<upload|download> <rate>]" [0, 2],
        "show or change how fast files may go out and come in"
        "The rate is in bytes per second, such as 500K or 20M (powers of 1000), or none. The new limit lasts until\n\
         the client ends."
    Wait ["wait"], "[<group_id> <file_name>]" [0, 2],
        "wait until that download, or every download, has ended"
        "A script waits for all downloads at its end anyway."
    Help ["help"], "[command]" [0, 1],
        "list the commands, or say more about one"
        ""
    Quit ["quit", "exit"], "" [0],
        "leave; unfinished downloads go on after the next login"
        ""
}

/// Precedes the order of a list.
pub(super) const SORT: &str = "--sort";

/// The options of `follow_group`.
pub(super) const FOLLOW_OPTIONS: [&str; 2] = ["--all", "--max-size="];
/// The orders of a list.
pub(super) const ORDERS: [&str; 3] = ["members", "name", "size"];

/// The line below the list of commands.
const QUOTING: &str = "Names and paths with spaces go in quotes: upload_file \"my notes.pdf\" lab";

impl Usage {
    /// The name and the arguments.
    pub fn synopsis(&self) -> impl fmt::Display {
        struct Synopsis(&'static str, &'static str);
        impl fmt::Display for Synopsis {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)?;
                if self.1.is_empty() { Ok(()) } else { write!(f, " {}", self.1) }
            }
        }
        Synopsis(self.name(), self.arguments)
    }

    /// The proper name.
    pub fn name(&self) -> &'static str {
        self.names[0]
    }
}

impl Word {
    /// The command's line of the table.
    pub fn usage(self) -> &'static Usage {
        COMMANDS.iter().find(|usage| usage.word == self).expect("the macro makes a line for every word")
    }

    /// The command with this name, in any case and with `-` for `_`.
    pub fn find(typed: &str) -> Option<Self> {
        let folded = fold(typed);
        COMMANDS.iter().find(|usage| usage.names.contains(&folded.as_str())).map(|usage| usage.word)
    }

    /// Whether a password may stand on its line.
    pub fn takes_password(self) -> bool {
        matches!(self, Word::CreateUser | Word::Login | Word::ChangePassword)
    }
}

fn fold(typed: &str) -> String {
    typed.to_ascii_lowercase().replace('-', "_")
}

/// The maximum number of names in the answer to a wrong one.
const NEAR_MAX: usize = 4;

/// The commands that a wrong name may mean: those that begin with it, or else those at a small distance. At most four.
pub fn near(typed: &str) -> Vec<Word> {
    let folded = fold(typed);
    // No name is near a text this long, and the computation takes time in proportion to its length.
    if folded.len() > 40 {
        return Vec::new();
    }
    let names = || COMMANDS.iter().flat_map(|usage| usage.names.iter().map(|name| (*name, usage.word)));
    if folded.len() >= 3 {
        let begun: Vec<Word> = names().filter(|(name, _)| name.starts_with(&folded)).map(|(_, word)| word).collect();
        if !begun.is_empty() && begun.len() <= NEAR_MAX {
            return begun;
        }
    }
    // One mistake in three characters is a typing error; more are another word.
    let allowed = (folded.chars().count() / 3).min(3);
    // Each character of the difference in length is a mistake.
    let as_long = |name: &str| name.len().abs_diff(folded.chars().count()) <= allowed;
    let distances = names().filter(|(name, _)| as_long(name)).map(|(name, word)| (distance(&folded, name), word));
    distances.filter(|(distance, _)| *distance <= allowed).min().map(|(_, word)| word).into_iter().collect()
}

/// The number of characters to insert, delete, change or swap with their neighbour to turn one text into the other
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

/// The lines of `help`: all commands, or everything about one.
pub fn help(about: Option<Word>) -> Vec<String> {
    if let Some(word) = about {
        let usage = word.usage();
        let mut lines = vec![format!("Usage: {}", usage.synopsis()), sentence(usage.summary)];
        lines.extend(usage.details.lines().map(str::to_owned));
        lines.extend(usage.names[1..].iter().map(|other| format!("'{other}' does the same.")));
        return lines;
    }
    let width = COMMANDS.iter().map(|usage| usage.synopsis().to_string().len()).max().unwrap_or_default();
    let row = |usage: &Usage| format!("{:width$}  {}", usage.synopsis().to_string(), usage.summary);
    let mut lines: Vec<String> = COMMANDS.iter().map(row).collect();
    lines.push(QUOTING.to_owned());
    lines
}

/// The summary with a capital and a full stop.
fn sentence(summary: &str) -> String {
    let (first, rest) = summary.split_at(1);
    format!("{}{rest}.", first.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_in_the_table_once_and_finds_its_command() {
        let mut names: Vec<&str> = COMMANDS.iter().flat_map(|usage| usage.names.iter().copied()).collect();
        for usage in COMMANDS {
            assert_eq!(usage.word.usage().name(), usage.name());
            for name in usage.names {
                assert_eq!(Word::find(name), Some(usage.word));
            }
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn names_are_found_in_any_case_and_with_hyphens() {
        assert_eq!(Word::find("Show_Downloads"), Some(Word::ShowDownloads));
        assert_eq!(Word::find("list-groups"), Some(Word::ListGroups));
        assert_eq!(Word::find("EXIT"), Some(Word::Quit));
        assert_eq!(Word::find("list_group"), None);
    }

    #[test]
    fn the_numbers_of_arguments_agree_with_what_is_documented() {
        for usage in COMMANDS {
            let most = usage.arguments.matches('<').count() + usage.arguments.matches(['[']).count();
            // Brackets around names in angle brackets are not an argument of their own.
            let most = most - usage.arguments.matches("[<").count();
            assert_eq!(usage.counts.iter().max(), Some(&most), "{}", usage.name());
            assert!(usage.counts.is_sorted());
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_recognized_and_another_word_is_not() {
        for (typed, meant) in [
            ("logni", vec![Word::Login]),
            ("creat_user", vec![Word::CreateUser]),
            ("donwload_file", vec![Word::DownloadFile]),
            ("listgroups", vec![Word::ListGroups]),
            ("upload", vec![Word::UploadFile]),
            ("list", vec![Word::ListRequests, Word::ListMembers, Word::ListGroups, Word::ListFiles]),
            ("qiut", vec![Word::Quit]),
            ("rm", vec![]),
            ("passwd", vec![]),
            ("", vec![]),
            ("\0\0\0\0", vec![]),
        ] {
            assert_eq!(near(typed), meant, "{typed}");
        }
        assert_eq!(near(&"x".repeat(60_000)), vec![]);
    }

    #[test]
    fn the_distance_counts_single_slips() {
        for (a, b, slips) in [("", "", 0), ("ab", "ba", 1), ("abc", "", 3), ("abc", "axc", 1), ("quit", "qut", 1)] {
            assert_eq!(distance(a, b), slips, "{a} {b}");
            assert_eq!(distance(b, a), slips, "{b} {a}");
        }
    }

    #[test]
    fn help_lists_every_command_with_what_follows_after_two_spaces() {
        let lines = help(None);
        assert_eq!(lines.len(), COMMANDS.len() + 1);
        for (line, usage) in lines.iter().zip(COMMANDS) {
            assert!(line.starts_with(&usage.synopsis().to_string()), "{line}");
            assert!(line.ends_with(&format!("  {}", usage.summary)), "{line}");
            assert!(line.len() <= 120, "{line}");
        }
    }

    #[test]
    fn help_about_one_command_begins_with_its_usage() {
        let lines = help(Some(Word::Quit));
        assert_eq!(lines[0], "Usage: quit");
        assert_eq!(lines[1], "Leave; unfinished downloads go on after the next login.");
        assert_eq!(lines[2], "'exit' does the same.");
        assert_eq!(help(Some(Word::ShowDownloads)).len(), 4);
    }
}
