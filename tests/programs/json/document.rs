//! docs/JSON.md against the tracker. The test makes the page's requests in their order and compares the answers. The
//! page's tables must equal those of the code.

use super::programs::{Speaker, tracker};
use groupshare::model::notice::Notice;
use groupshare::tracker::json::{EARLY_LINE_LEN_MAX, LINE_LEN_MAX, PIECES_MAX};
use groupshare::tracker::presence::TTL;
use groupshare::wire::client_tracker::{PAGE_MAX, PEERS_MAX};
use groupshare::wire::deadlines::FRAME_DEADLINE;
use groupshare::wire::refusal::Code;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Codes that no program ever gets.
const NEVER: [Code; 21] = [
    Code::Version,
    Code::TooOld,
    Code::TooNew,
    Code::NotHeardYet,
    Code::NeedManifest,
    Code::Forgotten,
    Code::UnknownKey,
    Code::NotServed,
    Code::NoSuchPiece,
    Code::FileChanged,
    Code::OnItsWay,
    Code::PeerOffline,
    Code::NoRelay,
    Code::RelayFull,
    Code::OtherClient,
    Code::BadCertificate,
    Code::BadTicket,
    Code::NotSeenThere,
    Code::OtherCluster,
    Code::TrackerNumber,
    Code::Retired,
];

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/JSON.md");
    let page = std::fs::read_to_string(path).expect("docs/JSON.md");
    // The rest of the page is about another program.
    page.split("\n## The client").next().expect("the first part").to_owned()
}

/// The rows of the tables below a heading, without their heads.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let page = page();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().expect("the first part");
    let lines = section.lines().filter(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The requests of the page in their order: the user of each, and the answer if the page has it.
fn requests() -> Vec<(String, String, Option<String>)> {
    let mut found: Vec<(String, String, Option<String>)> = Vec::new();
    let page = page();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (kind, who) = info.split_once(' ').unwrap_or((info, "alice"));
        match kind {
            "json" => found.push((who.to_owned(), text.join("\n"), None)),
            "answer" => found.last_mut().expect("a request before its answer").2 = Some(text.join("\n")),
            _ => {}
        }
    }
    found
}

#[test]
fn every_request_of_the_page_gets_the_answer_that_stands_below_it() {
    let tracker = tracker();
    let addr = tracker.server.json_addr().expect("it speaks JSON");
    let mut speakers: BTreeMap<String, Speaker> = BTreeMap::new();
    let requests = requests();
    assert!(requests.len() > 15);
    for (who, request, answer) in requests {
        let speaker = speakers.entry(who.clone()).or_insert_with(|| {
            let mut speaker = Speaker::connect(addr, 5001);
            if who != "alice" {
                speaker.enter(&who);
            }
            speaker
        });
        let said = speaker.say(request.as_bytes());
        match answer {
            Some(answer) => assert_eq!(said, answer, "{request}"),
            None => assert!(!said.contains("malformed"), "{request}: {said}"),
        }
        // A user whose request is turned down later.
        if request.contains("join_group") {
            let mut carol = Speaker::connect(addr, 0);
            carol.enter("carol");
            carol.done("join_group", r#""group_id":"lab""#);
        }
    }
}

#[test]
fn every_command_has_a_section_and_no_other() {
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tracker/json/request.rs"));
    let source = source.expect("the source");
    let source = source.split("#[cfg(test)]").next().expect("the code");
    let arms = source.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => "));
    let known: BTreeSet<String> = arms.map(|(name, _)| name.to_owned()).collect();
    let page = page();
    let documented: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    assert_eq!(documented, known);
}

#[test]
fn every_error_of_the_page_can_come_and_every_one_that_can_come_is_there() {
    let told: Vec<String> = rows("Errors").iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let known = Code::ALL.iter().filter(|code| !NEVER.contains(code)).map(|code| code.words().to_owned());
    assert_eq!(told, known.collect::<Vec<_>>());
}

#[test]
fn the_limits_of_the_page_are_those_of_the_tracker() {
    let limits = rows("Limits");
    let limit = |row: usize, begins: &str| {
        assert!(limits[row][0].starts_with(begins), "{:?}", limits[row]);
        limits[row][1].clone()
    };
    assert_eq!(limit(0, "a line before"), format!("{EARLY_LINE_LEN_MAX} bytes"));
    assert_eq!(limit(1, "a line after"), format!("{LINE_LEN_MAX} bytes"));
    assert_eq!(limit(2, "pieces"), format!("{PIECES_MAX}, that is 64 GiB"));
    assert_eq!(limit(3, "time from"), format!("{} s", FRAME_DEADLINE.as_secs()));
    assert_eq!(limit(4, "time in"), format!("{} s", FRAME_DEADLINE.as_secs()));
    assert_eq!(limit(5, "silence"), format!("{} s", TTL.as_secs()));
    assert_eq!(limit(6, "entries"), PAGE_MAX.to_string());
    // Line breaks do not matter.
    let text = page().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(Notice::UNREAD_MAX, 1024);
    assert!(text.contains("the oldest first: at most 1,024"));
    assert!(text.contains(&format!("At most {PEERS_MAX} holders")));
}
