//! Strangers, users and members that lie or want too much. The name of each test says what its victims notice. A
//! download ends with the identical file from an honest member beside the liar. Nothing except the download's own files
//! is touched. A tracker and a seeder go on serving all others.

#[path = "../common"]
mod common {
    pub(crate) mod accounts;
    pub(crate) mod client;
    pub(crate) mod deadline;
    pub(crate) mod ending;
    pub(crate) mod identity;
    pub(crate) mod listing;
    pub(crate) mod manifest;
    pub(crate) mod membership;
    pub(crate) mod memory_log;
    pub(crate) mod names;
    pub(crate) mod offer;
    pub(crate) mod subject;
    pub(crate) mod tracker;
    pub(crate) mod wait;
}

#[path = "../library/member.rs"]
mod member;

mod crowd;
mod differences;
mod doors;
mod followers;
mod leechers;
mod liar;
mod logins;
mod manifests;
mod names;
mod ordeal;
mod replay;
mod scale;
mod seeders;
mod siege;
mod strangers;
mod users;
