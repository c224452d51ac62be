//! Every notice beside its bytes.

use super::cast::{film, lab, user};
use groupshare::model::name::FileName;
use groupshare::model::notice::{ChangeKind, Notice, UnplacedChange};

/// Every notice beside its bytes.
pub(crate) fn notices() -> Vec<(Notice, &'static str)> {
    [decisions_and_names(), without_effect(), of_operators()].into_iter().flatten().collect()
}

/// Decisions of others, and names that were taken before.
fn decisions_and_names() -> Vec<(Notice, &'static str)> {
    let file = |name| FileName::parse(name).expect("a file name");
    vec![
        (Notice::Accepted { group: lab() }, r#"01 0003 "lab" # Accepted"#),
        (Notice::Rejected { group: lab() }, r#"02 0003 "lab" # Rejected"#),
        (Notice::Removed { group: lab() }, r#"03 0003 "lab" # Removed"#),
        (
            Notice::UserRenamed { from: user("bob"), to: user("bob~2") },
            r#"
            04                  # UserRenamed
            0003 "bob"          # from
            0005 "bob~2"        # to
            "#,
        ),
        (
            Notice::GroupRenamed { from: lab(), to: lab().with_suffix(3) },
            r#"
            05                  # GroupRenamed
            0003 "lab"          # from
            0005 "lab~3"        # to
            "#,
        ),
        (
            Notice::ShareRenamed { group: lab(), from: file("a"), to: file("a~2") },
            r#"
            06                  # ShareRenamed
            0003 "lab"          # group
            0001 "a"            # from
            0003 "a~2"          # to
            "#,
        ),
    ]
}

/// Changes of the user's own that have no effect.
fn without_effect() -> Vec<(Notice, &'static str)> {
    vec![
        (
            Notice::DecisionOverridden { group: lab(), user: user("bob") },
            r#"
            07                  # DecisionOverridden
            0003 "lab"          # group
            0003 "bob"          # user
            "#,
        ),
        (Notice::RequestOverridden { group: lab() }, r#"08 0003 "lab" # RequestOverridden"#),
        (
            Notice::ShareOverridden { group: lab(), name: film() },
            r#"
            09                  # ShareOverridden
            0003 "lab"          # group
            0008 "film.mkv"     # name
            "#,
        ),
        (
            Notice::GroundGone { kind: ChangeKind::CreateShare, file: Some(film()) },
            r#"
            0a                  # GroundGone
            09                  # kind: CreateShare
            01 0008 "film.mkv"  # file: there is one
            "#,
        ),
        (
            Notice::Unplaced {
                change: UnplacedChange { kind: ChangeKind::LeaveGroup, group: Some(lab()), file: None },
            },
            r#"
            0b                  # Unplaced
            07                  # kind: LeaveGroup
            01 0003 "lab"       # group: there is one
            00                  # file: there is none
            "#,
        ),
        (
            Notice::Older { count: 5312 },
            r#"
            0c                  # Older
            00000000000014c0    # count
            "#,
        ),
    ]
}

/// Actions of operators.
fn of_operators() -> Vec<(Notice, &'static str)> {
    vec![
        (Notice::PasswordOverridden {}, "0d # PasswordOverridden"),
        (Notice::PasswordReset {}, "0e # PasswordReset"),
        (Notice::SessionsEnded {}, "0f # SessionsEnded"),
        (Notice::AccountDisabled {}, "10 # AccountDisabled"),
        (Notice::AccountEnabled {}, "11 # AccountEnabled"),
        (Notice::GroupGiven { group: lab() }, r#"12 0003 "lab" # GroupGiven"#),
        (
            Notice::GroupTaken { group: lab(), to: user("bob") },
            r#"
            13                  # GroupTaken
            0003 "lab"          # group
            0003 "bob"          # to
            "#,
        ),
        (Notice::GroupDeleted { group: lab() }, r#"14 0003 "lab" # GroupDeleted"#),
        (
            Notice::NewVersion { group: lab(), name: film(), author: user("bob") },
            r#"
            15                  # NewVersion
            0003 "lab"          # group
            0008 "film.mkv"     # name
            0003 "bob"          # author
            "#,
        ),
        (Notice::Added { group: lab(), by: user("bob") }, r#"16 0003 "lab" 0003 "bob" # Added: group, by"#),
        (Notice::OwnerMade { group: lab(), by: user("bob") }, r#"17 0003 "lab" 0003 "bob" # OwnerMade: group, by"#),
        (
            Notice::OwnerDropped { group: lab(), by: user("bob") },
            r#"18 0003 "lab" 0003 "bob" # OwnerDropped: group, by"#,
        ),
    ]
}
