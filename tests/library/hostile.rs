//! Strangers, users and members who lie. Each test is named for what those notice who are lied to: that a download ends
//! with the identical file from an honest member beside the liar, that nothing but the download's own files is touched,
//! that a tracker and a seeder go on serving everybody else.

mod crowd;
mod leechers;
mod liar;
mod ordeal;
mod seeders;
mod strangers;
mod users;
