//! The promises of the gate: the oldest compiler, and the strictness of the lints.

use crate::source::Tree;
use serde_json::Value;

/// Settings of clippy, each with its line.
const LINTS: [(&str, &str, &str); 5] = [
    ("clippy.toml", "too-many-arguments-threshold = 5", "no function takes more than 5 parameters"),
    ("clippy.toml", "too-many-lines-threshold = 60", "no function has more than 60 lines"),
    ("Cargo.toml", "too_many_lines = \"warn\"", "no function has more than 60 lines"),
    ("Cargo.toml", "unreachable_pub = \"warn\"", "nothing is public that nobody outside names"),
    ("Cargo.toml", "unsafe_code = \"deny\"", "unsafe code is an exception"),
];

/// Lints that are missing in the manifests.
pub(crate) fn missing_lints(tree: &Tree) -> Vec<String> {
    let says = |file: &str, line: &str| tree.text(file).lines().any(|other| other == line);
    let missing = LINTS.iter().filter(|(file, line, _)| !says(file, line));
    missing.map(|(file, line, why)| format!("{file} does not say `{line}`, but {why}: put the line back")).collect()
}

/// The oldest compiler that Cargo.toml promises.
pub(crate) fn promised(tree: &Tree) -> &str {
    let line = tree.text("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = \""));
    line.map_or("", |rest| rest.trim_end_matches('"'))
}

/// Documents that name another oldest compiler than Cargo.toml.
pub(crate) fn other_promises(tree: &Tree) -> Vec<String> {
    let promised = promised(tree);
    let says = [
        ("README.md", format!("Rust {promised} or newer")),
        ("docs/ARCHITECTURE.md", format!("minimum Rust is {promised}")),
    ];
    let other = says
        .iter()
        .filter(|(file, words)| !tree.text(file).split_whitespace().collect::<Vec<_>>().join(" ").contains(words));
    other
        .map(|(file, words)| {
            format!("{file} does not say \"{words}\", which is what Cargo.toml promises: say the same")
        })
        .collect()
}

/// Packages that need a newer compiler, by their own statement. `metadata` is the output of `cargo metadata`.
pub(crate) fn newer_packages(metadata: &Value, promised: &str) -> Vec<String> {
    let mut out = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let (name, version) = (package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"));
        if let Some(needs) = package["rust_version"].as_str().filter(|needs| parts(needs) > parts(promised)) {
            let needs = format!("{name} {version} needs Rust {needs}, but {promised} is promised");
            out.push(format!("{needs}: lock an older release with cargo update --precise, or promise {name}'s"));
        }
    }
    out
}

fn parts(version: &str) -> Vec<u32> {
    let mut parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    parts.resize(3, 0);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lint_that_is_gone_is_told() {
        let clippy = "too-many-arguments-threshold = 9\ntoo-many-lines-threshold = 60";
        let cargo = "too_many_lines = \"warn\"\nunreachable_pub = \"warn\"\nunsafe_code = \"deny\"";
        let told = missing_lints(&Tree::of(&[("clippy.toml", clippy), ("Cargo.toml", cargo)]));
        let expected = "clippy.toml does not say `too-many-arguments-threshold = 5`, but no function takes more than 5 parameters: \
                        put the line back";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn a_package_that_needs_a_newer_compiler_is_told() {
        let package = |name: &str, needs: Option<&str>| serde_json::json!({"name": name, "version": "2.0.1", "rust_version": needs});
        let old =
            [package("a", None), package("b", Some("1.85")), package("c", Some("1.85.0")), package("d", Some("1.9"))];
        let packages = [&old[..], &[package("e", Some("1.85.1"))]].concat();
        let metadata = serde_json::json!({ "packages": packages });
        let expected = "e 2.0.1 needs Rust 1.85.1, but 1.85 is promised: lock an older release with cargo update --precise, or \
                        promise e's";
        assert_eq!(newer_packages(&metadata, "1.85"), [expected]);
    }

    #[test]
    fn a_document_that_promises_something_else_is_told() {
        let files = [
            ("Cargo.toml", "rust-version = \"1.95\"\n"),
            ("README.md", "You need Rust\n1.95 or newer."),
            ("docs/ARCHITECTURE.md", "The minimum Rust is 1.85."),
        ];
        let expected = "docs/ARCHITECTURE.md does not say \"minimum Rust is 1.95\", which is what Cargo.toml promises: say the same";
        assert_eq!(other_promises(&Tree::of(&files)), [expected]);
    }
}
