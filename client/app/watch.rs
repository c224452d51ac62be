//! The live view of downloads and uploads: a page of the whole screen, until a key is pressed.

use super::login_session::LoginSession;
use super::status;
use crate::client::output::status::{DownloadStatus, Totals, UploadStatus};
use crate::client::terminal::interrupt::Interrupt;
use crate::client::terminal::page::Page;
use crate::sys::echo_off::{EchoOff, Typing};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// How often the page is drawn.
const PAUSE: Duration = Duration::from_millis(500);
/// The last line of the page.
const HELP: &str = "Press any key to go back";

/// All downloads and uploads at this moment, and the totals.
pub(super) fn snapshot(session: &LoginSession) -> (Vec<DownloadStatus>, Vec<UploadStatus>, Totals) {
    let (downloads, uploads) = (status::downloads(session, Instant::now()), status::uploads(session));
    let totals = Totals::of(&downloads, &uploads);
    (downloads, uploads, totals)
}

/// Shows the progress of everything until a key is pressed or the command is cancelled. Returns at once if there is no
/// screen.
pub(super) fn watch(session: &LoginSession, interrupt: &Interrupt) {
    let person = io::stdin().is_terminal() && !session.node().reporter.is_json();
    let page = person.then(|| Page::open(session.node().reporter.terminal())).flatten();
    let (Some(page), Ok(_echo)) = (page, EchoOff::begin(io::stdin(), Typing::Keys)) else {
        return;
    };
    while !session.is_over() {
        let (downloads, uploads, totals) = snapshot(session);
        page.show(&lines(&downloads, &uploads, totals));
        if interrupt.key_within(io::stdin(), PAUSE) {
            return;
        }
    }
}

/// The totals come first, so they are visible however many lines follow.
fn lines(downloads: &[DownloadStatus], uploads: &[UploadStatus], totals: Totals) -> Vec<String> {
    let mut lines = Vec::from_iter(totals.line());
    for download in downloads {
        lines.push(download.short_line());
        lines.extend(download.obstacle_lines());
        lines.extend(download.member_lines().into_iter().map(|line| format!("      {line}")));
    }
    lines.extend(uploads.iter().map(UploadStatus::line));
    if lines.is_empty() {
        lines.push("Nothing is under way".to_owned());
    }
    lines.extend([String::new(), HELP.to_owned()]);
    lines
}
