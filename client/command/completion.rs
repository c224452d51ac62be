//! The word at the cursor, the names that could stand there, and how the chosen name is inserted. Pure.

use super::table::{COMMANDS, FOLLOW_OPTIONS, ORDERS, SORT, Word};
use crate::model::escape::escape;
use crate::model::op::group_access::GroupAccess;

/// The kind of name that could stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// One of these words.
    Words(Vec<&'static str>),
    /// A group of the user.
    OwnGroup,
    /// A group that the user could ask to join.
    OtherGroup,
    /// A user that asks to join this group.
    Requester(String),
    /// A member of this group.
    Member(String),
    /// A share in this group.
    Shared(String),
    /// A share in this group, or a file in a folder that is shared there.
    SharedPath(String),
    /// The user's share in this group.
    OwnShare(String),
    /// A download from this group, running or ended.
    Download(String),
    /// A path on this machine.
    Path,
    /// A path on this machine or a group of the user, in either order. The field is the other argument, if it was
    /// typed.
    PathOrGroup(Option<String>),
}

/// A word that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The kind of name that it could be.
    pub wanted: Wanted,
    /// The typed text, without quotes.
    pub typed: String,
    /// The beginning of the word in the line, in bytes, including a quote.
    pub start: usize,
    /// The quote at its beginning.
    quote: Option<char>,
}

/// A name that could stand there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its text.
    pub text: String,
    /// Whether the name goes on, as a folder's path does.
    pub goes_on: bool,
}

impl Name {
    /// A complete name.
    pub fn whole(text: impl Into<String>) -> Self {
        Self { text: text.into(), goes_on: false }
    }
}

/// A choice: its form in a list, and the text that replaces the typed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The form in a list.
    pub shown: String,
    /// The text for the line.
    pub put: String,
}

impl Spot {
    /// The word at the end of this text; `None` if no name is wanted there.
    pub(crate) fn behind(text: &str) -> Option<Self> {
        let words = Words::of(text);
        if text.trim_start().starts_with('#') {
            return None;
        }
        let Words { before, typed, start, quote } = words;
        let wanted = match before.split_first() {
            None => Wanted::Words(all_commands().collect()),
            Some((command, arguments)) => {
                let word = Word::find(command)?;
                option(word, arguments, &typed).or_else(|| wanted(word, arguments))?
            }
        };
        Some(Self { wanted, typed, start, quote })
    }

    /// The names that begin with the typed text, in order and ready for the line. A single name also gets its closing
    /// quote and a space.
    pub(crate) fn candidates(&self, names: impl IntoIterator<Item = Name>) -> Vec<Candidate> {
        let typed = self.folded(&self.typed);
        let fits = |name: &Name| name.text.starts_with(&typed) && escape(&name.text) == name.text;
        let mut names: Vec<Name> = names.into_iter().filter(fits).collect();
        names.sort_unstable();
        names.dedup();
        let quote = match self.quote {
            Some('\'') if !names.iter().any(|name| name.text.contains('\'')) => Some('\''),
            None if !names.iter().any(|name| needs_quotes(&name.text)) => None,
            _ => Some('"'),
        };
        let sole = names.len() == 1;
        let candidate = |name: Name| {
            let mut put = quoted(&name.text, quote);
            if sole && !name.goes_on {
                put.extend(quote);
                put.push(' ');
            }
            Candidate { shown: name.text, put }
        };
        names.into_iter().map(candidate).collect()
    }

    /// Commands may have any case, and `-` for `_`.
    fn folded(&self, typed: &str) -> String {
        match self.wanted {
            // Options begin with `-`.
            Wanted::Words(_) if !typed.starts_with('-') => typed.to_ascii_lowercase().replace('-', "_"),
            _ => typed.to_owned(),
        }
    }
}

fn all_commands() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|usage| usage.name())
}

/// The options that a command takes after these arguments, if the typed text begins one or nothing else can follow.
fn option(word: Word, before: &[String], typed: &str) -> Option<Wanted> {
    let is_begun = typed.starts_with('-');
    let options: &[&'static str] = match (word, before.len()) {
        (Word::ListFiles, 1) if is_begun => &[SORT],
        (Word::ListFiles, 2) | (Word::Find, 1) => &[SORT],
        (Word::FollowGroup, 2 | 3) => &FOLLOW_OPTIONS,
        _ => return None,
    };
    // A typed option does not come again, and the word after it is no option.
    let is_typed = |option: &&'static str| before.iter().any(|typed| typed.starts_with(option));
    let left: Vec<&'static str> = options.iter().copied().filter(|option| !is_typed(option)).collect();
    (!left.is_empty()).then_some(Wanted::Words(left))
}

/// The kind of argument that a command takes after these.
fn wanted(word: Word, before: &[String]) -> Option<Wanted> {
    let group = || before.first().cloned().unwrap_or_default();
    Some(match (word, before.len()) {
        (Word::Help, 0) => Wanted::Words(all_commands().collect()),
        (Word::Limit, 0) => Wanted::Words(vec!["download", "upload"]),
        (Word::JoinGroup, 0) => Wanted::OtherGroup,
        (
            Word::LeaveGroup
            | Word::ListRequests
            | Word::AcceptRequest
            | Word::RejectRequest
            | Word::RemoveMember
            | Word::AddMember
            | Word::MakeOwner
            | Word::DropOwner
            | Word::SetGroup
            | Word::ListMembers
            | Word::ListFiles
            | Word::DownloadFile
            | Word::UpdateFile
            | Word::PauseDownload
            | Word::ResumeDownload
            | Word::CancelDownload
            | Word::StopShare
            | Word::FollowGroup
            | Word::UnfollowGroup
            | Word::Wait,
            0,
        ) => Wanted::OwnGroup,
        (Word::ListFiles, 2 | 3) | (Word::Find, 2) if before.last().is_some_and(|word| word == SORT) => {
            Wanted::Words(ORDERS.to_vec())
        }
        (Word::AcceptRequest | Word::RejectRequest, 1) => Wanted::Requester(group()),
        (Word::RemoveMember | Word::MakeOwner | Word::DropOwner, 1) => Wanted::Member(group()),
        (Word::AddMember, 1) => Wanted::Requester(group()),
        (Word::SetGroup, 1) => Wanted::Words(GroupAccess::ALL.map(GroupAccess::as_str).to_vec()),
        (Word::SetAdding, 0) => Wanted::Words(vec!["allow", "forbid"]),
        (Word::DownloadFile | Word::ListFiles, 1) => Wanted::SharedPath(group()),
        (Word::UpdateFile, 1) => Wanted::Shared(group()),
        (Word::DownloadFile | Word::UpdateFile, 2) => Wanted::Path,
        (Word::PauseDownload | Word::ResumeDownload | Word::CancelDownload | Word::Wait, 1) => {
            Wanted::Download(group())
        }
        (Word::StopShare, 1) => Wanted::OwnShare(group()),
        (Word::UnshareFolder, 0) | (Word::FollowGroup, 1) => Wanted::Path,
        (Word::UploadFile | Word::ShareFolder, 0 | 1) => Wanted::PathOrGroup(before.first().cloned()),
        _ => return None,
    })
}

/// Whether a name has another meaning without quotes.
fn needs_quotes(name: &str) -> bool {
    name.chars().any(|c| c.is_whitespace() || matches!(c, '\'' | '"' | '\\'))
}

/// A name as typed after this open quote.
fn quoted(name: &str, quote: Option<char>) -> String {
    let mut out: String = quote.into_iter().collect();
    for c in name.chars() {
        if quote == Some('"') && matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The words of a line up to the cursor. The last one is being typed. Quotes work as in a shell.
struct Words {
    before: Vec<String>,
    typed: String,
    start: usize,
    quote: Option<char>,
}

impl Words {
    fn of(text: &str) -> Self {
        let (mut before, mut word): (_, Option<(usize, String)>) = (Vec::new(), None);
        let (mut open, mut first) = (None, None);
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if open.is_none() && c.is_ascii_whitespace() {
                before.extend(word.take().map(|(_, word)| word));
                first = None;
                continue;
            }
            let begins = word.is_none();
            let (_, word) = word.get_or_insert((at, String::new()));
            match (open, c) {
                (None, '\'' | '"') => {
                    open = Some(c);
                    first = if begins { open } else { first };
                }
                (Some(quote), _) if c == quote => open = None,
                (None, '\\') => word.extend(chars.next().map(|(_, escaped)| escaped)),
                (Some('"'), '\\') => match chars.next_if(|(_, next)| matches!(*next, '"' | '\\' | '$' | '`')) {
                    Some((_, escaped)) => word.push(escaped),
                    None => word.push(c),
                },
                _ => word.push(c),
            }
        }
        let (start, typed) = word.unwrap_or((text.len(), String::new()));
        Self { before, typed, start, quote: first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(text: &str) -> Spot {
        Spot::behind(text).expect(text)
    }

    fn put(text: &str, names: &[&str]) -> Vec<String> {
        let spot = spot(text);
        let candidates = spot.candidates(names.iter().map(|name| Name::whole(*name)));
        candidates.into_iter().map(|candidate| format!("{}{}", &text[..spot.start], candidate.put)).collect()
    }

    #[test]
    fn each_argument_is_completed_with_what_it_names() {
        let lab = || "lab".to_owned();
        for (text, wanted) in [
            ("list_files ", Wanted::OwnGroup),
            ("  Download-File la", Wanted::OwnGroup),
            ("download_file lab ", Wanted::SharedPath(lab())),
            ("download_file 'lab' \"a b\" ", Wanted::Path),
            ("accept_request lab b", Wanted::Requester(lab())),
            ("remove_member lab b", Wanted::Member(lab())),
            ("make_owner lab b", Wanted::Member(lab())),
            ("set_group lab ", Wanted::Words(vec!["open", "ask", "closed"])),
            ("set_adding ", Wanted::Words(vec!["allow", "forbid"])),
            ("stop_share lab ", Wanted::OwnShare(lab())),
            ("wait lab ", Wanted::Download(lab())),
            ("join_group ", Wanted::OtherGroup),
            ("upload_file ", Wanted::PathOrGroup(None)),
            ("upload_file my\\ notes.pdf ", Wanted::PathOrGroup(Some("my notes.pdf".to_owned()))),
            ("limit ", Wanted::Words(vec!["download", "upload"])),
            ("list_files lab ", Wanted::SharedPath(lab())),
            ("update_file lab ", Wanted::Shared(lab())),
            ("list_files lab *.mkv ", Wanted::Words(vec!["--sort"])),
            ("list_files lab --sort ", Wanted::Words(vec!["members", "name", "size"])),
            ("find *.mkv --sort ", Wanted::Words(vec!["members", "name", "size"])),
            ("list_files lab --so", Wanted::Words(vec!["--sort"])),
            ("follow_group lab ", Wanted::Path),
            ("follow_group lab in ", Wanted::Words(vec!["--all", "--max-size="])),
            ("follow_group lab in --all --", Wanted::Words(vec!["--max-size="])),
            ("follow_group lab in --max-size=5M ", Wanted::Words(vec!["--all"])),
        ] {
            assert_eq!(spot(text).wanted, wanted, "{text}");
        }
        for text in ["# list_f", "create_group x", "create_user ", "login ann ", "nonsense x", "quit x", "wait a b c"] {
            assert_eq!(Spot::behind(text), None, "{text}");
        }
    }

    #[test]
    fn commands_are_completed_in_any_case() {
        let commands = || all_commands().collect::<Vec<_>>();
        assert_eq!(put("Upload-", &commands()), ["upload_file "]);
        assert_eq!(put("help lo", &commands()), ["help login", "help logout"]);
        assert_eq!(put("find x --so", &[SORT]), ["find x --sort "]);
        assert_eq!(put("", &commands()).len(), COMMANDS.len());
    }

    #[test]
    fn names_with_spaces_and_quotes_are_quoted_and_read_back_as_they_are() {
        for (text, name, line) in [
            ("wait lab m", "my film.mkv", r#"wait lab "my film.mkv" "#),
            ("wait lab my\\ f", "my film.mkv", r#"wait lab "my film.mkv" "#),
            ("wait lab 'my f", "my film.mkv", "wait lab 'my film.mkv' "),
            ("wait lab 'a", "a'b", r#"wait lab "a'b" "#),
            ("wait lab \"a", r#"a"b\c$d"#, r#"wait lab "a\"b\\c\$d" "#),
            ("wait lab ", "Übung", "wait lab Übung "),
            ("wait lab #", "#1", "wait lab #1 "),
        ] {
            assert_eq!(put(text, &[name]), [line], "{text}");
            let words = Words::of(line);
            assert_eq!(words.before[2], name);
            assert_eq!(shell_words::split(&line.replace('#', "")).expect("closed")[2], name.replace('#', ""));
        }
    }

    #[test]
    fn several_names_are_quoted_alike_and_left_open_so_that_they_have_a_beginning_in_common() {
        assert_eq!(put("wait lab m", &["my film", "myth", "other"]), ["wait lab \"my film", "wait lab \"myth"]);
        assert_eq!(put("wait lab m", &["myth", "me"]), ["wait lab me", "wait lab myth"]);
    }

    #[test]
    fn a_folder_is_left_open() {
        let folder = Name { text: "my dir/".to_owned(), goes_on: true };
        let candidates = spot("upload_file my").candidates([folder]);
        assert_eq!(candidates[0].put, "\"my dir/");
    }

    #[test]
    fn names_that_would_act_on_the_terminal_are_not_offered() {
        assert_eq!(put("wait lab ", &["x\x1b[2J", "y\u{202e}", "\u{7}"]), [""; 0]);
    }

    #[test]
    fn any_text_has_a_place_for_the_cursor() {
        for text in ["", " ", "\\", "a \\", "a '", "a \"\\", "a ''", "a b'c d\"e"] {
            let words = Words::of(text);
            assert!(text.is_char_boundary(words.start) && words.start <= text.len(), "{text}");
        }
        let words = Words::of("a 'b c' d\\ e\"f");
        assert_eq!(
            (words.before.as_slice(), words.typed.as_str(), words.start),
            (&["a".into(), "b c".into()][..], "d ef", 8)
        );
    }
}
