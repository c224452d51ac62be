//! The client's program as scripts use it: commands on its command line, its outputs, and its end.

use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use groupshare::model::exit::{Exit, OF_CLIENT, OF_TRACKER};
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

/// A client that runs these commands, with this on standard input.
fn exec(installation: &Installation, name: &str, options: &[&str], commands: &[&str], input: &[&str]) -> Program {
    let commands = commands.iter().flat_map(|command| ["--exec", command]);
    let args: Vec<&str> = options.iter().copied().chain(commands).collect();
    let mut program = installation.person(name, 1, &args);
    input.iter().for_each(|line| program.say(line));
    program.close_input();
    program
}

/// The exit code of a client, and its output on standard output and standard error.
fn end(mut program: Program) -> (Option<i32>, String, String) {
    let (status, error) = program.end();
    let output = program.heard().iter().filter(|line| !line.complaint);
    (status.code(), output.map(|line| format!("{}\n", line.text)).collect(), error)
}

/// Alice owns the group lab and shares a file in it.
fn alice(installation: &Installation) -> Program {
    let mut alice = installation.person("alice", 1, &[]);
    fs::write(installation.folder.path().join("alice/notes.txt"), b"notes").expect("room");
    for line in ["create_user alice pw", "login alice pw", "create_group lab", "upload_file notes.txt lab"] {
        alice.say(line);
    }
    alice.expect("Uploaded");
    alice
}

/// Makes the account of a user and accepts it into the lab.
fn admit(installation: &Installation, alice: &mut Program, user: &str) {
    let create = format!("create_user {user} pw");
    let login = format!("login {user} pw");
    let place = format!("{user}-joins");
    let (code, ..) = end(exec(installation, &place, &[], &[&create, &login, "join_group lab"], &[]));
    assert_eq!(code, Some(0));
    alice.say(&format!("accept_request lab {user}"));
    alice.expect("Request accepted");
}

fn place(installation: &Installation, path: &str) -> PathBuf {
    installation.folder.path().join(path)
}

#[test]
fn commands_of_the_command_line_are_carried_out_and_their_downloads_waited_for() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    admit(&installation, &mut alice, "bob");
    // From its input the client reads only the password.
    let commands = ["login bob", "download_file lab notes.txt got.txt", "list_members lab"];
    let (code, output, error) = end(exec(&installation, "bob", &[], &commands, &["pw", "frobnicate"]));
    assert_eq!((code, error.as_str()), (Some(0), "You are a member of lab now\n"));
    let mut lines: Vec<&str> = output.lines().collect();
    let completed = lines.iter().position(|line| line.starts_with("Download completed: [lab] notes.txt  5 B in "));
    lines.remove(completed.expect("it is told"));
    assert_eq!(lines, ["Login successful", "Downloading...", "alice  online, owner", "bob  online"]);
    assert_eq!(fs::read(place(&installation, "bob/got.txt")).expect("there"), b"notes");
}

#[test]
fn a_quiet_client_says_results_and_failures_only() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    admit(&installation, &mut alice, "bob");
    fs::create_dir(place(&installation, "files")).expect("a new folder");
    fs::write(place(&installation, "files/new.txt"), b"new").expect("room");
    let commands = ["login bob pw", "upload_file ../files/new.txt lab", "list_files nowhere", "stop_share lab new.txt"];
    let said = end(exec(&installation, "bob", &["--quiet"], &commands, &[]));
    let output = "Login successful\nUploaded\nStopped sharing\n".to_owned();
    assert_eq!(said, (Some(Exit::Refused as i32), output, "Group does not exist: nowhere\n".to_owned()));
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    let installation = Installation::of(1);
    let run = |name: &str, options: &[&str], commands: &[&str]| end(exec(&installation, name, options, commands, &[]));
    let (code, output, error) = run("early", &[], &["login bob pw", "list_groups"]);
    assert_eq!((code, output.as_str()), (Some(Exit::NoTracker as i32), ""));
    assert!(error.starts_with("No tracker can be reached (") && error.ends_with("Please login first\n"), "{error}");
    assert!(!error.contains("tried again"), "nobody tries this command again: {error}");
    assert_eq!(run("usage", &["--frobnicate"], &[]).0, Some(Exit::Usage as i32));
    for (list, why) in [("nowhere.txt", "No such file or directory"), ("/dev/zero", "it is longer than 1 MiB")] {
        let mut client = Command::new(env!("CARGO_BIN_EXE_client"));
        let (code, _, error) = end(Program::start(client.args([list, "--exec", "list_groups"])));
        let said = format!("cannot read {list}: {why}; name the list of trackers\n");
        assert_eq!((code, error), (Some(Exit::CannotStart as i32), said));
    }

    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    admit(&installation, &mut alice, "bob");
    alice.say("logout");
    alice.expect("Logout successful");
    // No online member has it, and the end of the membership ends the download.
    let commands = ["login bob pw", "download_file lab notes.txt .", "leave_group lab"];
    let (code, output, error) = run("bob", &["--quiet"], &commands);
    assert_eq!((code, output.as_str()), (Some(5), "Login successful\nDownloading...\nLeft the group\n"));
    let failed = "Download failed: [lab] notes.txt  you are no longer a member of the group";
    assert!(error.contains(failed), "{error}");
    let (code, _, error) = run("nobody", &[], &["login bob"]);
    assert_eq!((code, error.as_str()), (Some(1), "The input ends where the password should follow\n"));
}

#[test]
fn a_file_beyond_the_largest_that_the_system_allows_is_refused() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    admit(&installation, &mut alice, "bob");
    fs::write(place(&installation, "alice/film.mkv"), vec![7; 1_000_000]).expect("room");
    alice.told("upload_file film.mkv lab", "Uploaded");
    let mut bob = installation.person("bob", 1, &[]);
    let limit = Rlimit { current: Some(500_000), maximum: Some(500_000) };
    prlimit(Some(bob.pid()), Resource::Fsize, limit).expect("lowered");
    bob.told("login bob pw", "Login successful");
    bob.say("download_file lab film.mkv .");
    assert!(bob.expect("film.mkv.part").complaint);
    bob.close_input();
    let (code, ..) = end(bob);
    assert_eq!(code, Some(Exit::Refused as i32));
    assert!(!place(&installation, "bob/film.mkv.part").exists());
}

#[test]
fn a_signal_ends_a_script_that_waits_for_its_downloads() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    admit(&installation, &mut alice, "bob");
    alice.say("logout");
    alice.expect("Logout successful");
    let mut bob = exec(&installation, "bob", &[], &["login bob pw", "download_file lab notes.txt ."], &[]);
    bob.expect("Downloading...");
    wait_until("the download is prepared", || place(&installation, "bob/notes.txt.part").exists());
    bob.signal(Signal::INT);
    assert_eq!(end(bob).0, Some(Exit::Interrupted as i32));
}

#[test]
fn a_script_whose_login_ends_elsewhere_does_not_wait_for_its_downloads_and_has_failed() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    admit(&installation, &mut alice, "bob");
    alice.told("logout", "Logout successful");
    // One waits at a command, and one at its end.
    let mut waits = ["bob-waits", "bob-ends"].map(|name| installation.person(name, 1, &[]));
    for bob in &mut waits {
        bob.told("login bob pw", "Login successful");
        bob.told("download_file lab notes.txt .", "Downloading...");
    }
    waits[0].say("wait");
    waits.iter_mut().for_each(Program::close_input);
    let (code, ..) = end(exec(&installation, "bob", &[], &["login bob pw", "change_password pw new"], &[]));
    assert_eq!(code, Some(0));
    const ENDED: &str = "The session was ended, by you elsewhere or by the operator; please login again\n";
    for bob in waits {
        let (code, output, error) = end(bob);
        assert!(error.ends_with(ENDED), "{output}{error}");
        assert_eq!(code, Some(Exit::DownloadFailed as i32));
    }
}

#[test]
fn a_script_survives_the_end_of_its_terminal_if_nohup_asked_for_that() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let folder = place(&installation, "");
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_client")).args(["--state-dir", "state", "127.0.0.1:0"]);
    let mut ann = Program::start(command.arg(installation.info()).current_dir(folder));
    ann.told("create_user ann pw", "User created");
    ann.signal(Signal::HUP);
    ann.told("login ann pw", "Login successful");
    ann.close_input();
    assert_eq!(end(ann).0, Some(Exit::Success as i32));
}

#[test]
fn a_script_waits_for_downloads_of_an_earlier_one_and_may_ask_for_them_again() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    admit(&installation, &mut alice, "bob");
    for (file, again) in [("one.txt", None), ("two.txt", Some("download_file lab two.txt ."))] {
        fs::write(place(&installation, "alice").join(file), file).expect("room");
        alice.told(&format!("upload_file {file} lab"), "Uploaded");
        alice.told("logout", "Logout successful");
        let asked = format!("download_file lab {file} .");
        let name = format!("bob-{file}");
        let mut bob = exec(&installation, &name, &[], &["login bob pw", &asked], &[]);
        bob.expect("Downloading...");
        wait_until("the download is prepared", || place(&installation, &name).join(format!("{file}.part")).exists());
        bob.kill();
        alice.told("login alice pw", "Login successful");
        let commands: Vec<&str> = ["login bob pw"].into_iter().chain(again).collect();
        let args: Vec<&str> = commands.iter().flat_map(|command| ["--exec", command]).collect();
        let mut bob = installation.person_again(&name, &args);
        bob.close_input();
        let (code, output, error) = end(bob);
        assert!(output.contains(&format!("Download completed: [lab] {file}")), "{output}{error}");
        assert_eq!(code, Some(0), "{error}");
    }
}

#[test]
fn the_documents_list_the_exit_codes_of_both_programs() {
    let text = |file: &str| {
        fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file).replace('`', "")
    };
    let guide = text("docs/GUIDE.md");
    let table = guide.lines().skip_while(|line| !line.starts_with("| exit code |")).skip(2);
    let table: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
    let row = |exit: Exit, of: &[(Exit, &'static str)]| {
        of.iter().find(|(other, _)| *other == exit).map_or("", |(_, meaning)| meaning)
    };
    let mut codes: Vec<Exit> = OF_CLIENT.iter().chain(OF_TRACKER).map(|(exit, _)| *exit).collect();
    codes.sort_by_key(|exit| *exit as u8);
    codes.dedup();
    let rows = codes.iter().map(|&exit| {
        let row = format!("| {} | {} | {} |", exit as u8, row(exit, OF_CLIENT), row(exit, OF_TRACKER));
        row.replace("|  |", "| |")
    });
    assert_eq!(table, rows.collect::<Vec<_>>());
    for (page, codes) in [("groupshare-client.1", OF_CLIENT), ("groupshare-tracker.1", OF_TRACKER)] {
        let page = text(&format!("packaging/{page}"));
        let section = page.lines().skip_while(|line| *line != ".Sh EXIT STATUS").take_while(|line| *line != ".El");
        let told: Vec<&str> = section.filter_map(|line| line.strip_prefix(".It ")).collect();
        assert_eq!(told, codes.iter().map(|(exit, _)| (*exit as u8).to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn a_byte_order_mark_before_a_script_or_a_password_file_is_no_part_of_it() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut script = installation.person("ann", 1, &[]);
    for line in ["\u{feff}create_user ann pw", "list_groups"] {
        script.say(line);
    }
    script.close_input();
    let (code, output, error) = end(script);
    assert_eq!((code, output.as_str(), error.as_str()), (Some(1), "User created\n", "Please login first\n"));
    let (code, output, error) = end(exec(&installation, "ann-again", &[], &["login ann"], &["\u{feff}pw"]));
    assert_eq!((code, output.as_str(), error.as_str()), (Some(0), "Login successful\n", ""));
}

#[test]
fn a_script_waits_for_a_member_as_long_as_its_patience_says() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    admit(&installation, &mut alice, "bob");
    alice.told("logout", "Logout successful");
    let commands = ["login bob pw", "download_file lab notes.txt ."];
    let (code, _, error) = end(exec(&installation, "hasty", &["--patience", "0"], &commands, &[]));
    assert_eq!(code, Some(Exit::DownloadFailed as i32));
    let failed = "Download failed: [lab] notes.txt  no online member has the missing pieces";
    assert!(error.contains(failed), "{error}");
    for patience in [&["--patience", "forever"][..], &["--patience=1h", "--json"]] {
        let place = patience[0].replace('=', "-");
        let mut bob = exec(&installation, &place, patience, &commands, &[]);
        bob.expect(if patience.contains(&"--json") { "download_progress" } else { "Downloading..." });
        alice.told("login alice pw", "Login successful");
        let (code, output, error) = end(bob);
        assert_eq!(code, Some(0), "{output}{error}");
        alice.told("logout", "Logout successful");
    }
}

#[test]
fn an_upload_of_what_is_not_there_names_the_file_and_not_a_group() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    for line in ["upload_file lab nothere", "upload_file nothere lab"] {
        let said = alice.answers(line).iter().map(|line| line.text.clone()).collect::<Vec<_>>().join("\n");
        assert!(said.contains("/nothere") && !said.contains("Group") && !said.contains("/lab"), "{said}");
    }
}

#[test]
fn a_start_that_fails_leaves_no_new_key() {
    let installation = Installation::of(1);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("bound").to_string();
    let place = place(&installation, "ann");
    fs::create_dir(&place).expect("a new folder");
    let key = "ab".repeat(32);
    let mut client = Command::new(env!("CARGO_BIN_EXE_client"));
    let args = [&listen, "../tracker_info.txt", "--state-dir", "state", "--accept-fingerprint", &key];
    let (code, _, error) = end(Program::start(client.current_dir(&place).args(args)));
    assert_eq!((code, error), (Some(3), format!("{listen} is in use by another program; choose another port\n")));
    let kept = fs::read_dir(place.join("state/pins")).map_or(0, Iterator::count);
    assert_eq!(kept, 0, "the key is not accepted");
}
