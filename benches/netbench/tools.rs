//! The compared programs, with each member on a machine of its own.

use super::link::{Access, Way};
use super::network::{Site, Star};
use super::rows::Row;
use super::watch::{Seen, Watch};
use crate::common::program::Program;
use crate::kit::content::{sha1_of_file, write_noise};
use crate::kit::house::{CLIENT, FILE, House, Member, TRACKER};
use crate::kit::libtorrent::{PYTHON, script_by};
use crate::kit::program;
use crate::kit::tool::giver_folder;
use crate::kit::torrent::write_torrent;
use crate::kit::warm::warm;
use rustix::process::Pid;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where every giver and taker listens.
pub(crate) const PORT: u16 = 18_000;

/// A file of this size shows the cost of cold memory.
const MUCH: u64 = 512 << 20;

/// The result of a run of one row.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// The time of each taker; `None` if its download has failed.
    pub takers: Vec<Option<Duration>>,
    /// The traffic and resources of all members together.
    pub seen: Seen,
}

/// The machines of a row. The first is the tracker's: it is as far away as a giver, and never the bottleneck. Then come
/// the givers, then the takers.
pub(crate) struct Cast {
    pub tracker: Site,
    pub givers: Vec<Site>,
    pub takers: Vec<Site>,
}

impl Cast {
    pub(crate) fn of(star: &Star, row: &Row) -> Self {
        let site = |number| star.site(number);
        let (first, last) = (1 + row.givers, 1 + row.givers + row.takers);
        Self { tracker: site(0), givers: (1..first).map(site).collect(), takers: (first..last).map(site).collect() }
    }

    /// Gives each machine the link of the row.
    pub(crate) fn link(&self, star: &Star, row: &Row) {
        star.link(&self.tracker, Access::even(Way { delay: row.giver.up.delay, ..Way::FREE }));
        self.givers.iter().for_each(|site| star.link(site, row.giver));
        self.takers.iter().for_each(|site| star.link(site, row.taker));
        if let (Some(odd), Some(site)) = (row.odd, self.takers.last()) {
            star.link(site, odd);
        }
    }
}

fn listen(site: &Site) -> SocketAddr {
    SocketAddr::from((site.addr, PORT))
}

/// A tracker and members of one group. The givers share the file.
pub(crate) struct Group {
    _house: House,
    pub givers: Vec<Member>,
    pub takers: Vec<Member>,
    folder: PathBuf,
    sha1: [u8; 20],
}

impl Group {
    /// Starts the tracker and the members. The takers get these options.
    pub(crate) fn start(cast: &Cast, row: &Row, folder: &Path, taking: &[&str]) -> Self {
        let file = folder.join(FILE);
        let sha1 = write_noise(&file, row.size);
        let addr = SocketAddr::from((cast.tracker.addr, 5000));
        let house = House::start_by(cast.tracker.command(TRACKER), addr, folder);
        let cap = row.cap.map(|cap| cap.to_string());
        let options: Vec<&str> = cap.iter().flat_map(|cap| ["--upload-limit", cap.as_str()]).collect();
        let start = |(site, name, options): (&Site, String, &[&str])| {
            house.member_by(site.command(CLIENT), listen(site), &name, options)
        };
        let givers = cast.givers.iter().enumerate().map(|(number, site)| (site, format!("giver{number}"), &*options));
        let mut givers: Vec<_> = givers.map(start).collect();
        let takers = cast.takers.iter().enumerate().map(|(number, site)| (site, format!("taker{number}"), taking));
        let mut takers: Vec<_> = takers.map(start).collect();
        let (owner, others) = givers.split_first_mut().expect("one at least");
        owner.found("lab");
        others.iter_mut().chain(&mut takers).for_each(|member| member.join("lab", owner));
        for giver in &mut givers {
            giver.share("lab", &file);
        }
        (0..takers.len()).for_each(|number| fs::create_dir(out(folder, number)).expect("a new folder"));
        Self { _house: house, givers, takers, folder: folder.to_path_buf(), sha1 }
    }

    /// Starts the downloads of the takers. Returns when.
    pub(crate) fn begin(&mut self) -> Instant {
        let begun = Instant::now();
        for (number, taker) in self.takers.iter_mut().enumerate() {
            taker.begin("lab", &out(&self.folder, number));
        }
        begun
    }

    /// Waits until every taker has ended, and checks its file. Returns when each has ended.
    pub(crate) fn end(&mut self) -> Vec<Option<Instant>> {
        let ended: Vec<_> = self.takers.iter_mut().map(Member::ended).collect();
        for number in (0..ended.len()).filter(|&number| ended[number].is_some()) {
            let path = out(&self.folder, number).join(FILE);
            assert!(sha1_of_file(&path) == self.sha1, "taker {number} has another file");
        }
        ended
    }
}

fn out(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("out-{number}"))
}

/// This project's own programs.
pub(crate) fn groupshare(star: &Star, row: &Row, folder: &Path) -> Taken {
    let cast = Cast::of(star, row);
    let mut group = Group::start(&cast, row, folder, &[]);
    begin(&cast, star, row, &group.folder);
    let of = |members: &[Member]| pids(members.iter().map(|member| &member.program));
    let watch = Watch::start(star, &cast, [of(&group.givers), of(&group.takers)]);
    let begun = group.begin();
    let ended = group.end();
    let seen = watch.end(star, &cast);
    Taken { takers: ended.into_iter().map(|at| at.map(|at| at - begun)).collect(), seen }
}

/// Sets the links. A row that cold memory could slow down gets warm memory first.
fn begin(cast: &Cast, star: &Star, row: &Row, folder: &Path) {
    if row.size >= MUCH {
        warm(&folder.join(FILE));
    }
    cast.link(star, row);
}

fn pids<'a>(programs: impl IntoIterator<Item = &'a Program>) -> Vec<Pid> {
    programs.into_iter().map(Program::pid).collect()
}

/// libtorrent. Each peer knows all addresses from the start.
pub(crate) fn libtorrent(star: &Star, row: &Row, folder: &Path) -> Taken {
    let cast = Cast::of(star, row);
    let file = folder.join(FILE);
    let sha1 = write_noise(&file, row.size);
    let torrent = folder.join("torrent");
    write_torrent(&file, "http://127.0.0.1:9/", &torrent);
    let start = |site: &Site, way: &str, own: &Path, more: &[String]| {
        let mut command = script_by(site.command(PYTHON));
        command.arg(way).arg(listen(site).to_string()).arg(own).arg(&torrent);
        let mut program = program::start(command.args(more));
        program.expect("ready");
        program
    };
    let cap = row.cap.unwrap_or(0).to_string();
    let give = |(number, site): (usize, &Site)| {
        start(site, "give", &giver_folder(folder, &file, number), std::slice::from_ref(&cap))
    };
    let givers: Vec<_> = cast.givers.iter().enumerate().map(give).collect();
    let take = |(number, site): (usize, &Site)| {
        let others = cast.givers.iter().chain(cast.takers.iter().filter(|other| other.number != site.number));
        let others: Vec<String> = others.map(|other| listen(other).to_string()).collect();
        fs::create_dir(out(folder, number)).expect("a new folder");
        start(site, "take", &out(folder, number), &others)
    };
    let mut takers: Vec<_> = cast.takers.iter().enumerate().map(take).collect();
    begin(&cast, star, row, folder);
    let watch = Watch::start(star, &cast, [pids(&givers), pids(&takers)]);
    let begun = Instant::now();
    takers.iter_mut().for_each(|taker| taker.say("go"));
    let ended: Vec<_> = takers.iter_mut().map(|taker| taker.expect("done").at).collect();
    let seen = watch.end(star, &cast);
    takers.iter_mut().for_each(|taker| drop(taker.expect("written")));
    for number in 0..takers.len() {
        assert!(sha1_of_file(&out(folder, number).join(FILE)) == sha1, "taker {number} has another file");
    }
    Taken { takers: ended.into_iter().map(|at| Some(at - begun)).collect(), seen }
}
