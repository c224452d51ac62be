//! Every row of docs/FOLD.md, played on two trackers that lose contact and meet again.

mod accounts;
mod departures;
mod floors;
mod groups;
mod notices;
mod operator;
mod ops;
mod owners;
mod requests;
mod shares;
mod side;
mod trackers;

#[test]
fn every_row_of_the_table_has_its_test() {
    let tests = [
        include_str!("fold/ops.rs"),
        include_str!("fold/accounts.rs"),
        include_str!("fold/groups.rs"),
        include_str!("fold/requests.rs"),
        include_str!("fold/departures.rs"),
        include_str!("fold/shares.rs"),
        include_str!("fold/notices.rs"),
        include_str!("fold/trackers.rs"),
        include_str!("fold/operator.rs"),
        include_str!("fold/floors.rs"),
        include_str!("fold/owners.rs"),
    ]
    .concat();
    let rows: Vec<&str> = include_str!("../../docs/FOLD.md").lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 40);
    for row in &rows[1..] {
        let name = row.rsplit('`').nth(1).unwrap_or_else(|| panic!("no test: {row}"));
        assert!(tests.contains(&format!("\nfn {name}()")), "{name}");
    }
}
