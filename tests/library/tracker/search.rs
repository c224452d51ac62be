//! Searches for files by their names.

use crate::common::client::Client;
use crate::common::names::group;
use crate::common::tracker::TestTracker;
use groupshare::model::name::pattern::NamePattern;
use groupshare::wire::client_tracker::{FoundFile, PAGE_MAX, Reply, Request, SearchPlace};
use groupshare::wire::refusal::Code;

/// All results of a search as `group/name`, and how many pages it took.
fn search(client: &mut Client, group_name: Option<&str>, pattern: &str) -> (Vec<String>, usize) {
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (files, next) = page(client, group_name, pattern, after);
        let name = |line: &FoundFile| format!("{}/{}", line.group, line.file.name);
        found.extend(files.iter().map(name));
        pages += 1;
        if next.is_none() {
            return (found, pages);
        }
        after = next;
    }
}

fn page(
    client: &mut Client,
    group_name: Option<&str>,
    pattern: &str,
    after: Option<SearchPlace>,
) -> (Vec<FoundFile>, Option<SearchPlace>) {
    let pattern = NamePattern::new(pattern).expect("a pattern");
    match client.ask(Request::FindFiles { group: group_name.map(group), pattern, after }) {
        Reply::Found { files, next } => (files.into_vec(), next),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_search_finds_what_is_meant_in_the_groups_of_the_user_and_in_no_other() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    for lab in ["attic", "den", "lab"] {
        ann.create_group(lab);
        for name in ["Film.MKV", "film.mkv", "notes.txt"] {
            ann.offer(lab, name, 1, 1);
        }
    }
    for lab in ["attic", "lab"] {
        bob.join(lab);
        ann.accept(lab, "bob");
    }
    assert_eq!(search(&mut bob, Some("lab"), "*.mkv").0, ["lab/Film.MKV", "lab/film.mkv"]);
    assert_eq!(search(&mut bob, None, "*.M*").0, ["attic/Film.MKV", "lab/Film.MKV"]);
    assert_eq!(search(&mut ann, None, "n?tes*").0, ["attic/notes.txt", "den/notes.txt", "lab/notes.txt"]);
    assert_eq!(search(&mut bob, Some("lab"), "nothing").0, [""; 0]);
    let pattern = NamePattern::new("*").expect("a pattern");
    for (name, code) in [("den", Code::NotMember), ("nowhere", Code::NoSuchGroup)] {
        let request = Request::FindFiles { group: Some(group(name)), pattern: pattern.clone(), after: None };
        assert_eq!(bob.refused(request), code);
    }
    // A place in a group of others, or in no group, is only a place among the names of groups.
    for (name, found) in [("den", &["lab/notes.txt"][..]), ("a", &["attic/notes.txt", "lab/notes.txt"])] {
        let place = SearchPlace { group: group(name), name: None };
        let (files, next) = page(&mut bob, None, "notes*", Some(place));
        let names: Vec<String> = files.iter().map(|line| format!("{}/{}", line.group, line.file.name)).collect();
        assert_eq!((names.iter().map(String::as_str).collect::<Vec<_>>(), next), (found.to_vec(), None));
    }
}

#[test]
fn search_results_come_in_pages_across_groups() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    let mut all = Vec::new();
    for (lab, count) in [("attic", PAGE_MAX / 2), ("den", PAGE_MAX / 2), ("lab", 9)] {
        ann.create_group(lab);
        for n in 0..count {
            ann.offer(lab, &format!("f{n:04}"), 1, 1);
            all.push(format!("{lab}/f{n:04}"));
        }
    }
    assert_eq!(search(&mut ann, None, "f*"), (all.clone(), 2));
    all.retain(|name| name.ends_with('7'));
    assert_eq!(search(&mut ann, None, "*7"), (all, 1));
}

#[test]
fn a_hostile_pattern_gets_short_pages_and_yet_everything_that_it_means() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    ann.create_group("lab");
    let names: Vec<String> = (0..100).map(|n| format!("{}{n:02}", "a".repeat(253))).collect();
    for name in &names {
        ann.offer("lab", name, 1, 1);
    }
    let hostile = format!("*{}9*", "a".repeat(127));
    let (found, pages) = search(&mut ann, None, &hostile);
    let meant: Vec<String> = names[90..].iter().map(|name| format!("lab/{name}")).collect();
    assert_eq!(found, meant);
    // Each page has 16,000 steps.
    assert!((3..=20).contains(&pages), "{pages}");
}
