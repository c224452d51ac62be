//! The names that a client knows or can ask its tracker for: groups, users, files, and paths on this machine.

use super::download::manifest;
use super::login::Login;
use crate::client::command::completion::{Name, Wanted};
use crate::client::rpc::queries;
use crate::client::shell::completer::NameSource;
use crate::model::digest::InfoHash;
use crate::model::manifest::Manifest;
use crate::model::name::shared_path::SharedPath;
use crate::model::name::{FileName, GroupId, NameError, UserId};
use crate::wire::client_tracker::{Reply, Request, Role};
use parking_lot::Mutex;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The maximum number of entries of a folder, or of files of a shared one, that the completer looks at.
const ENTRIES_MAX: usize = 10_000;

/// Knows the names, or asks the tracker.
pub(crate) struct Names {
    login: Arc<Login>,
    /// The manifest of the shared folder of the latest completion.
    folder: Mutex<Option<(InfoHash, Arc<Manifest>)>>,
}

impl NameSource for Names {
    fn names(&self, wanted: &Wanted, typed: &str) -> Option<Vec<Name>> {
        match wanted {
            Wanted::Words(_) => None,
            Wanted::OwnGroup => Some(self.own_groups()),
            Wanted::OtherGroup => self.other_groups(typed),
            Wanted::Requester(group) => self.requesters(group, typed),
            Wanted::Member(group) => self.members(group, typed),
            Wanted::Shared(group) => self.shared(group, typed),
            Wanted::SharedPath(group) => self.shared_paths(group, typed),
            Wanted::OwnShare(group) => self.own_shares(group),
            Wanted::Download(group) => self.downloads(group),
            Wanted::Path => Some(paths(typed)),
            Wanted::PathOrGroup(other) => Some(self.paths_and_groups(other.as_deref(), typed)),
        }
    }

    fn login(&self) -> u64 {
        self.login.session().map_or(0, |session| session.number())
    }
}

impl Names {
    pub(crate) fn new(login: Arc<Login>) -> Self {
        Self { login, folder: Mutex::default() }
    }

    /// Sends a request to the tracker, if there is one.
    fn ask(&self, request: &Request) -> Option<Reply> {
        let link = &self.login.node().link;
        link.tracker()?;
        link.call(request).ok()
    }

    fn own_groups(&self) -> Vec<Name> {
        self.login.node().keyring.names().into_iter().map(|name| Name::whole(name.as_str())).collect()
    }

    fn other_groups(&self, typed: &str) -> Option<Vec<Name>> {
        let Reply::Groups { groups, .. } = self.ask(&Request::ListGroups { after: before(typed, GroupId::parse) })?
        else {
            return None;
        };
        let others = groups.iter().filter(|line| line.role == Role::Stranger);
        Some(others.map(|line| Name::whole(line.name.as_str())).collect())
    }

    fn requesters(&self, group: &str, typed: &str) -> Option<Vec<Name>> {
        let group = GroupId::from_input(group).ok()?;
        let request = Request::ListRequests { group, after: before(typed, UserId::parse) };
        let Reply::Users { users, .. } = self.ask(&request)? else { return None };
        Some(users.iter().map(|user| Name::whole(user.as_str())).collect())
    }

    fn members(&self, group: &str, typed: &str) -> Option<Vec<Name>> {
        let group = GroupId::from_input(group).ok()?;
        let request = Request::ListMembers { group, after: before(typed, UserId::parse) };
        let Reply::Members { members, .. } = self.ask(&request)? else { return None };
        Some(members.iter().map(|line| Name::whole(line.name.as_str())).collect())
    }

    fn shared(&self, group: &str, typed: &str) -> Option<Vec<Name>> {
        let group = GroupId::from_input(group).ok()?;
        let request = Request::ListFiles { group, after: before(typed, FileName::parse) };
        let Reply::Files { files, .. } = self.ask(&request)? else { return None };
        Some(files.iter().map(|line| Name::whole(line.name.as_str())).collect())
    }

    /// The shares of a group, folder by folder.
    fn shared_paths(&self, group: &str, typed: &str) -> Option<Vec<Name>> {
        let group = GroupId::from_input(group).ok()?;
        let request = Request::ListFiles { group: group.clone(), after: before(typed, FileName::parse) };
        let Reply::Files { files, .. } = self.ask(&request)? else { return None };
        let names = files.iter().map(|line| match line.content.file_count {
            ..=1 => line.name.to_string(),
            _ => format!("{}/", line.name),
        });
        let inside = self.inside_folder(&group, typed).unwrap_or_default();
        Some(next_components(names.chain(inside), typed))
    }

    /// The paths inside the typed shared folder.
    fn inside_folder(&self, group: &GroupId, typed: &str) -> Option<Vec<String>> {
        let link = &self.login.node().link;
        let path = SharedPath::new(typed).ok()?;
        let (name, found) =
            path.readings().find_map(|(name, _)| Some((name.clone(), queries::find(link, group, &name).ok()?)))?;
        let content = found.content;
        let known = self.folder.lock().clone().filter(|(known, _)| *known == content.info_hash);
        let folder = match known {
            Some((_, folder)) => folder,
            None if content.file_count as usize > ENTRIES_MAX => return None,
            None => manifest::fetch(&*self.login.session()?, found.share, &content).ok()?,
        };
        *self.folder.lock() = Some((content.info_hash, folder.clone()));
        let below = folder.files().iter().filter_map(|file| file.path.below_root());
        Some(below.map(|below| format!("{name}/{below}")).collect())
    }

    fn own_shares(&self, group: &str) -> Option<Vec<Name>> {
        let group = GroupId::from_input(group).ok()?;
        let shares = self.login.session()?.slot().shares();
        let here = shares.iter().filter(|share| share.group == group);
        Some(here.map(|share| Name::whole(share.name.as_str())).collect())
    }

    fn downloads(&self, group: &str) -> Option<Vec<Name>> {
        let group = GroupId::from_input(group).ok()?;
        let downloads = self.login.session()?.downloads().list();
        let here = downloads.iter().filter(|download| download.group == group);
        Some(here.map(|download| Name::whole(download.name.as_str())).collect())
    }

    /// Names for a path and a group in either order. If the other argument is known, it decides which of the two is
    /// meant.
    fn paths_and_groups(&self, other: Option<&str>, typed: &str) -> Vec<Name> {
        let groups = self.own_groups();
        match other {
            Some(other) if groups.iter().any(|group| group.text == other) && !full(other).exists() => paths(typed),
            Some(_) => groups,
            None => paths(typed).into_iter().chain(groups).collect(),
        }
    }
}

/// Cuts each path that begins with the typed text at the next `/`.
fn next_components(paths: impl Iterator<Item = String>, typed: &str) -> Vec<Name> {
    let next = |path: String| {
        let rest = path.strip_prefix(typed)?;
        // A folder that is typed in full has names behind it.
        let slash = rest.find('/');
        (!rest.is_empty() || !path.ends_with('/')).then(|| {
            slash.map_or(Name::whole(&path), |at| Name { text: path[..=typed.len() + at].to_owned(), goes_on: true })
        })
    };
    paths.filter_map(next).collect()
}

/// A name that sorts before all names with the typed prefix, and after nearly all others. A list from there begins with
/// the wanted names. `None` is the beginning of the list.
fn before<T>(typed: &str, parse: fn(&str) -> Result<T, NameError>) -> Option<T> {
    let last = typed.chars().next_back()?;
    let previous = char::from_u32(u32::from(last).checked_sub(1)?)?;
    parse(&format!("{}{previous}\u{10fffd}", &typed[..typed.len() - last.len_utf8()])).ok()
}

/// The full path of the typed text.
fn full(typed: &str) -> PathBuf {
    match (typed.strip_prefix("~/"), env::var_os("HOME")) {
        (Some(below), Some(home)) => Path::new(&home).join(below),
        _ => PathBuf::from(typed),
    }
}

/// Paths that begin with the typed text. Hidden files appear only after a typed dot.
fn paths(typed: &str) -> Vec<Name> {
    let (folder, begun) = typed.rsplit_once('/').map_or(("", typed), |(folder, _)| typed.split_at(folder.len() + 1));
    let looked_in = if folder.is_empty() { PathBuf::from(".") } else { full(folder) };
    let Ok(entries) = std::fs::read_dir(looked_in) else {
        return Vec::new();
    };
    let entries = entries.take(ENTRIES_MAX).flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let wanted = name.starts_with(begun) && (begun.starts_with('.') || !name.starts_with('.'));
        wanted.then(|| {
            // Follows links: the question is whether a path can go on behind it.
            let goes_on = entry.path().is_dir();
            Name { text: format!("{folder}{name}{}", if goes_on { "/" } else { "" }), goes_on }
        })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_a_list_lies_before_what_was_typed_and_behind_what_was_not() {
        let place = before("lab", GroupId::parse).expect("a name");
        let place = place.as_str();
        assert!(place < "lab" && place > "laaz", "{place}");
        assert_eq!(before("", GroupId::parse), None);
        assert_eq!(before("\0", GroupId::parse), None);
    }

    #[test]
    fn paths_are_listed_as_they_were_begun_and_folders_go_on() {
        let temp = tempfile::tempdir().expect("a folder");
        for file in ["my film.mkv", "myth", ".my secret"] {
            std::fs::write(temp.path().join(file), "").expect("written");
        }
        std::fs::create_dir(temp.path().join("mydir")).expect("made");
        let below = |begun: &str| {
            let root = temp.path().to_str().expect("text");
            let mut found: Vec<_> = paths(&format!("{root}/{begun}")).into_iter().map(|name| name.text).collect();
            found.sort();
            found.into_iter().map(|text| text[root.len() + 1..].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(below("my"), ["my film.mkv", "mydir/", "myth"]);
        assert_eq!(below(""), ["my film.mkv", "mydir/", "myth"]);
        assert_eq!(below(".m"), [".my secret"]);
        assert_eq!(below("none/"), [""; 0]);
    }

    #[test]
    fn a_path_is_completed_folder_by_folder() {
        for (typed, shown) in [
            ("", &["film.mkv", "photos/", "photos/", "photos/", "phone/"][..]),
            ("pho", &["photos/", "photos/", "photos/", "phone/"]),
            ("photos/", &["photos/2024/", "photos/2024/"]),
            ("photos/2024/b", &["photos/2024/b.jpg"]),
            ("film.mkv/", &[]),
        ] {
            let paths = ["film.mkv", "photos/", "photos/2024/a/c.jpg", "photos/2024/b.jpg", "phone/x"];
            let names = next_components(paths.into_iter().map(str::to_owned), typed);
            assert_eq!(names.iter().map(|name| &name.text).collect::<Vec<_>>(), shown, "{typed}");
            assert!(names.iter().all(|name| name.goes_on == name.text.ends_with('/')));
        }
    }
}
