//! Lists of files. A list in the tracker's order appears page by page; a sorted one appears when it is complete.

use super::download::manifest;
use super::login_session::LoginSession;
use crate::client::command::failure::Failure;
use crate::client::command::types::Order;
use crate::client::output::report::{FileInFolder, Report};
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries;
use crate::client::terminal::interrupt::Interrupt;
use crate::client::terminal::pager::Pager;
use crate::model::manifest::{FileEntry, Manifest};
use crate::model::name::pattern::NamePattern;
use crate::model::name::shared_path::{PathPattern, SharedPath};
use crate::model::name::{FileName, GroupId};
use crate::wire::client_tracker::{FileLine, FoundFile};
use crate::wire::refusal::{Code, Refusal};
use std::cmp::Reverse;
use std::sync::Arc;

/// The number of entries that are formatted at a time.
const LINES_AT_ONCE: usize = 1024;

/// Shows the shares of a group, or those that match a pattern.
pub(super) fn files(
    (session, interrupt): (&LoginSession, &Interrupt),
    group: &GroupId,
    pattern: Option<&NamePattern>,
    order: Order,
) -> Result<Report, Failure> {
    let link = &session.node().link;
    let list = List { session, interrupt, order, file: |line: &FileLine| line };
    match pattern {
        None => list.tell(Report::Files, |each| queries::files(link, group, each)),
        Some(pattern) => {
            let told = list.tell(Report::Files, |each| {
                let mut lines = |found: Vec<FoundFile>| each(found.into_iter().map(|found| found.file).collect());
                queries::found(link, Some(group), pattern, &mut lines)
            })?;
            let none = told == Report::Files(Vec::new());
            Ok(if none { Report::Found(Vec::new()) } else { told })
        }
    }
}

/// Shows the matching files of a shared folder. If no folder has that name, shows shares whose own names begin with it.
pub(super) fn folder(
    (session, interrupt): (&LoginSession, &Interrupt),
    group: &GroupId,
    path: &SharedPath,
    order: Order,
) -> Result<Report, Failure> {
    for (name, meant) in path.readings() {
        let found = match queries::find(&session.node().link, group, &name) {
            Err(RpcError::Refused(refusal)) if refusal.code == Code::NoSuchFile => continue,
            found => found?,
        };
        let manifest = match session.slot().manifest(&found.content.info_hash) {
            Ok(Some(kept)) => Arc::new(kept),
            _ => manifest::fetch(session, found.share, &found.content)?,
        };
        if !manifest.is_folder() {
            return Err(format!("{name} is a file and no folder").into());
        }
        let mut files = files_in(&name, &manifest, &meant);
        if order == Order::Size {
            files.sort_by_key(|file| Reverse(file.len));
        }
        return Ok(shown(session, interrupt, Report::Folder(files)));
    }
    // Shares may have such a path as their own name.
    let none = || Refusal::about(Code::NoSuchFile, path.as_str());
    let told = files((session, interrupt), group, Some(&path.as_pattern().ok_or_else(none)?), order)?;
    if told == Report::Found(Vec::new()) { Err(none().into()) } else { Ok(told) }
}

/// The matching files of a folder.
fn files_in(name: &FileName, manifest: &Manifest, meant: &PathPattern) -> Vec<FileInFolder> {
    let file = |entry: &FileEntry| {
        let below = entry.path.below_root().filter(|below| meant.matches(below))?;
        Some(FileInFolder { path: format!("{name}/{below}"), len: entry.len })
    };
    manifest.files().iter().filter_map(file).collect()
}

/// Shows a person a complete list. Returns what is left to say, which for a program is all of it.
pub(super) fn shown(session: &LoginSession, interrupt: &Interrupt, report: Report) -> Report {
    let reporter = &session.node().reporter;
    if reporter.is_json() {
        return report;
    }
    Pager::new(reporter.terminal(), interrupt).show(&report.lines());
    Report::Nothing
}

/// Shows the matches of a pattern in all groups of the user.
pub(super) fn find(
    (session, interrupt): (&LoginSession, &Interrupt),
    pattern: &NamePattern,
    order: Order,
) -> Result<Report, Failure> {
    let list = List { session, interrupt, order, file: |found: &FoundFile| &found.file };
    list.tell(Report::Found, |each| queries::found(&session.node().link, None, pattern, each))
}

/// How to show a list.
struct List<'a, T> {
    session: &'a LoginSession,
    interrupt: &'a Interrupt,
    order: Order,
    /// Returns the file of an entry.
    file: fn(&T) -> &FileLine,
}

/// Takes a page of a list. Returns false to end the list.
type Each<'a, T> = &'a mut dyn FnMut(Vec<T>) -> bool;

impl<T> List<'_, T> {
    /// Returns what is left to say after the last entry. A program gets everything in one answer.
    fn tell(
        &self,
        report: fn(Vec<T>) -> Report,
        pages: impl FnOnce(Each<'_, T>) -> Result<(), RpcError>,
    ) -> Result<Report, Failure> {
        let reporter = &self.session.node().reporter;
        let mut pager = Pager::new(reporter.terminal(), self.interrupt);
        let mut any = false;
        let mut show = |page: Vec<T>| {
            let is_empty = page.is_empty();
            any |= !is_empty;
            is_empty || pager.show(&report(page).lines())
        };
        if self.order == Order::Name && !reporter.is_json() {
            pages(&mut show)?;
        } else {
            let mut all = Vec::new();
            pages(&mut |page| {
                all.extend(page);
                !self.interrupt.is_cancelled()
            })?;
            self.sort(&mut all);
            if reporter.is_json() {
                return Ok(report(all));
            }
            let mut rest = all.into_iter();
            while rest.len() > 0 && show(rest.by_ref().take(LINES_AT_ONCE).collect()) {}
        }
        Ok(if any { Report::Nothing } else { report(Vec::new()) })
    }

    /// Equal entries stay in the order of their names.
    fn sort(&self, list: &mut [T]) {
        let size = |file: &FileLine| file.content.is_sized().then(|| file.content.layout.size());
        match self.order {
            Order::Name => {}
            Order::Size => list.sort_by_key(|entry| Reverse(size((self.file)(entry)))),
            Order::Members => list.sort_by_key(|entry| {
                let file = (self.file)(entry);
                Reverse((file.online, file.sharer_count))
            }),
        }
    }
}
