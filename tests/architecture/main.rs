//! The house rules that a compiler does not check: which room names which, what stays pure, how long a file may be.
//!
//! Each rule is a function from files to sentences. A sentence names the line that breaks the rule, and the remedy.
//! Here the rules run over the files of this package. Beside each rule, tests run it over made-up files that break it.

mod arrows;
mod gate;
mod graph;
mod links;
mod map;
mod names;
mod paths;
mod prose;
mod purity;
mod release;
mod sentences;
mod sizes;
mod source;
mod tokens;
mod used_up;
mod words;

use source::Tree;
use std::process::Command;
use std::sync::LazyLock;

static TREE: LazyLock<Tree> = LazyLock::new(Tree::of_package);

/// Fails with all sentences if there are any.
fn holds(told: Vec<String>) {
    assert!(told.is_empty(), "\n{}\n", told.join("\n"));
}

#[test]
fn rooms_name_only_rooms_below_them() {
    holds(arrows::strange_arrows(&TREE, arrows::ARROWS));
    holds(arrows::strange_programs(&TREE));
}

#[test]
fn no_files_go_in_a_circle() {
    holds(arrows::circles_of_files(&TREE));
}

#[test]
fn no_rooms_go_in_a_circle_or_stand_too_high() {
    holds(arrows::circles_of_rooms(&TREE));
    holds(arrows::tall_programs(&TREE));
}

#[test]
fn pure_rooms_reach_no_socket_file_clock_thread_lock_or_randomness() {
    holds(purity::impure_rooms(&TREE, purity::PURE));
}

#[test]
fn files_are_short_and_folders_are_not_full() {
    holds(sizes::long_files(&TREE));
    holds(sizes::full_folders(&TREE));
}

#[test]
fn a_type_has_a_name_of_its_own_in_each_program() {
    holds(names::taken_names(&TREE));
}

#[test]
fn nothing_is_asynchronous() {
    holds(words::asynchronous(&TREE));
}

#[test]
fn unsafe_code_stands_in_few_places() {
    holds(words::stray_unsafe(&TREE, words::UNSAFE));
}

#[test]
fn no_lint_is_switched_off_without_a_reason() {
    holds(words::stray_allows(&TREE, words::ALLOWED));
}

#[test]
fn errors_are_types() {
    holds(words::untyped_errors(&TREE));
}

#[test]
fn production_files_hold_nothing_for_tests_alone() {
    holds(words::pieces_for_tests(&TREE));
    holds(map::misnamed_tests(&TREE));
}

#[test]
fn every_file_is_compiled() {
    holds(map::undeclared(&TREE));
}

#[test]
fn every_file_and_every_room_begins_with_a_sentence_that_says_what_it_is() {
    holds(map::silent_files(&TREE));
    holds(map::silent_rooms(&TREE));
}

#[test]
fn prose_is_narrow_and_names_files_and_headings_that_are_there() {
    holds(prose::wide_lines(&TREE));
    holds(prose::lost_names(&TREE));
    holds(links::lost_links(&TREE));
}

#[test]
fn sentences_are_short_and_so_is_readme() {
    holds(sentences::long_sentences(&TREE));
    holds(sentences::long_readme(&TREE));
}

#[test]
fn every_resource_that_can_be_used_up_has_a_bound_that_a_test_shows() {
    holds(used_up::unshown_bounds(&TREE));
}

#[test]
fn the_manifests_ask_for_the_lints() {
    holds(gate::missing_lints(&TREE));
}

#[test]
fn the_oldest_compiler_is_old_enough_for_every_package() {
    holds(gate::other_promises(&TREE));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform"];
    let metadata = Command::new(cargo)
        .args(arguments)
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata = serde_json::from_slice(&metadata.stdout).expect("JSON");
    holds(gate::newer_packages(&metadata, gate::promised(&TREE)));
}

#[test]
fn the_version_stands_in_one_place_and_users_read_what_it_brings() {
    holds(release::second_versions(&TREE, &source::outside_of_rust()));
    holds(release::odd_changes(&TREE));
}
