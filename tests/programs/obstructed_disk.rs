//! A download with an obstacle on its disk. The client reports the obstacle and leaves it alone.

use crate::common::client::Client;
use crate::common::installation::Installation;
use crate::common::listing::listing;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use groupshare::client::storage::part::{OpenedPart, Part, PartLabel, PartRecord};
use groupshare::model::manifest::Manifest;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::manifest;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILM: &[u8] = b"a film";

/// Alice shares a film and an album, and Bob may download them. Beside Bob's folder lie files that no program may
/// touch.
struct Scene {
    bob: Program,
    _alice: Program,
    _tracker: Program,
    mia: Client,
    installation: Installation,
}

impl Scene {
    fn set() -> Self {
        let installation = Installation::of(1);
        let tracker = installation.tracker(1);
        let mut alice = installation.person("alice", 1, &[]);
        let mut bob = installation.person("bob", 1, &[]);
        let place = installation.folder.path();
        fs::write(place.join("alice/film.bin"), FILM).expect("room");
        fs::create_dir_all(place.join("alice/album/sub")).expect("room");
        fs::write(place.join("alice/album/1.txt"), b"one").expect("room");
        fs::write(place.join("alice/album/sub/2.txt"), b"two").expect("room");
        fs::create_dir_all(place.join("bob/got")).expect("room");
        fs::create_dir(place.join("outside")).expect("room");
        fs::write(place.join("outside/secret"), b"nobody's business").expect("room");
        for line in ["create_user alice pw", "login alice pw", "create_group lab", "upload_file film.bin lab"] {
            alice.say(line);
        }
        alice.expect("Uploaded");
        alice.say("upload_file album lab");
        alice.expect("Uploaded");
        let mut mia = installation.connect(1).expect("it listens");
        mia.create_user("mia");
        mia.log_in("mia");
        mia.join("lab");
        for line in ["create_user bob pw", "login bob pw", "join_group lab"] {
            bob.say(line);
        }
        bob.expect("Request sent");
        for name in ["mia", "bob"] {
            alice.say(&format!("accept_request lab {name}"));
            alice.expect("Request accepted");
        }
        bob.expect("You are a member of lab now");
        Self { bob, _alice: alice, _tracker: tracker, mia, installation }
    }

    fn place(&self, path: &str) -> PathBuf {
        self.installation.folder.path().join(path)
    }

    /// Bob downloads this to his folder `got`. The client reports why that fails, and touches nothing.
    fn is_refused(&mut self, name: &str, why: &str) {
        let folders = ["bob/got", "outside"].map(|folder| self.place(folder));
        let before = folders.each_ref().map(|folder| listing(folder));
        self.bob.say(&format!("download_file lab {name} got"));
        let refusal = self.bob.complaint();
        assert!(refusal.contains(why), "{refusal}");
        assert_eq!(folders.each_ref().map(|folder| listing(folder)), before, "{name}: {why}");
    }

    /// Bob downloads this, and gets what Alice has. Nothing outside has changed.
    fn arrives(&mut self, name: &str) {
        let outside = listing(&self.place("outside"));
        self.bob.say(&format!("download_file lab {name} got"));
        self.bob.expect(&format!("Download completed: [lab] {name}"));
        let (got, shared) = (self.place("bob/got"), self.place("alice"));
        // Only their names, since a file that is going cannot be read.
        let names = || fs::read_dir(&got).expect("there").map(|entry| entry.expect("readable").file_name());
        wait_until("only the download is left", || names().all(|other| other == name));
        let all =
            |folder: &Path| listing(folder).into_iter().filter(|(path, _)| path.starts_with(name)).collect::<Vec<_>>();
        assert_eq!(all(&got), all(&shared));
        assert_eq!(listing(&self.place("outside")), outside);
        let path = got.join(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
        self.bob.say(&format!("stop_share lab {name}"));
        self.bob.expect("Stopped sharing");
    }

    /// The manifest of a share, as members get it.
    fn manifest(&mut self, name: &str) -> (Arc<Manifest>, PartLabel) {
        let share = self.mia.find_share("lab", name);
        let Reply::ManifestPart { part, .. } = self.mia.ask(Request::GetManifest { share: share.share, offset: 0 })
        else {
            panic!("a manifest")
        };
        let info_hash = share.content.info_hash;
        let manifest = manifest::decode(part.as_bytes(), info_hash).expect("the right one");
        (Arc::new(manifest), PartLabel { info_hash, group: crate::common::names::group("lab"), name: share.name })
    }
}

#[test]
fn a_symbolic_link_in_the_way_of_a_download_is_told_left_alone_and_never_followed() {
    let mut scene = Scene::set();
    let taken = "is there already and is not overwritten";
    for share in ["film.bin", "album"] {
        for (suffix, why) in [("", taken), (".part", "is a symbolic link"), (".part.meta", "is a symbolic link")] {
            for target in ["../../outside/secret", "../../outside", "../../outside/nothing", "."] {
                let link = scene.place(&format!("bob/got/{share}{suffix}"));
                symlink(target, &link).expect("made");
                scene.is_refused(share, why);
                fs::remove_file(link).expect("it is still there");
            }
        }
        scene.arrives(share);
    }
}

#[test]
fn a_symbolic_link_inside_the_unfinished_download_of_a_folder_is_told_and_never_followed() {
    let mut scene = Scene::set();
    let (manifest, label) = scene.manifest("album");
    let destination = scene.place("bob/got").canonicalize().expect("there").join("album");
    // Like a file that an earlier run has left.
    let begun = Part::open(&destination, manifest, &label, PartRecord::Absent).expect("room");
    assert!(matches!(begun, OpenedPart::Part(_)));
    drop(begun);
    let part = scene.place("bob/got/album.part");
    let link = "is a symbolic link";
    for (inner, target, why) in [
        ("sub", "../../../outside", "is not what a download would have made"),
        ("1.txt", "../../../outside/secret", link),
        ("sub/2.txt", "../1.txt", link),
    ] {
        let aside = scene.place("bob/aside");
        fs::rename(part.join(inner), &aside).expect("moved");
        symlink(target, part.join(inner)).expect("made");
        scene.is_refused("album", why);
        fs::remove_file(part.join(inner)).expect("it is still there");
        fs::rename(aside, part.join(inner)).expect("moved back");
    }
    scene.arrives("album");
}

#[test]
fn a_foreign_file_in_the_place_of_a_download_is_told_and_kept() {
    let mut scene = Scene::set();
    let other = scene.place("outside/secret");
    for (suffix, why) in [
        ("", "is there already and is not overwritten"),
        (".part", "was not made by this download"),
        (".part.meta", "was not made by this download"),
    ] {
        let path = scene.place(&format!("bob/got/film.bin{suffix}"));
        fs::write(&path, b"somebody's notes").expect("room");
        scene.is_refused("film.bin", why);
        fs::remove_file(&path).expect("it is still there");
        // A second name of another file: writing to one would change the other.
        fs::hard_link(&other, &path).expect("made");
        scene.is_refused("film.bin", "");
        fs::remove_file(&path).expect("it is still there");
        fs::create_dir(&path).expect("made");
        scene.is_refused("film.bin", "");
        fs::remove_dir(&path).expect("it is still there");
    }
    scene.arrives("film.bin");
}
