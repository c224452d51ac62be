//! The files beside the programs agree with them: man pages, completion of the command line, the service. This checks
//! only texts. `make deb` runs man and groff on the pages.

use groupshare::client::args as client_args;
use groupshare::client::command::table::COMMANDS;
use groupshare::tracker::args as tracker_args;
use groupshare::tracker::operator::table;
use std::fs;
use std::path::Path;

const PROGRAMS: [&str; 2] = ["groupshare-tracker", "groupshare-client"];

/// One option as `--help` prints it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Opt {
    long: String,
    short: Option<char>,
    argument: Option<String>,
}

fn help_of(program: &str) -> String {
    if program == "groupshare-tracker" {
        let Ok(tracker_args::Invocation::Tell(help)) = tracker_args::parse("groupshare-tracker", ["--help"]) else {
            panic!("help")
        };
        help
    } else {
        let Ok(client_args::Invocation::Tell(help)) = client_args::parse("groupshare-client", ["--help"]) else {
            panic!("help")
        };
        help
    }
}

/// The options of a program, sorted.
fn options(program: &str) -> Vec<Opt> {
    let help = help_of(program);
    let mut options: Vec<Opt> = help.lines().filter_map(|line| option(line.trim_start())).collect();
    options.sort();
    assert!(options.len() > 2, "{program} has options: {help}");
    options
}

/// The option of a line such as `-h, --help  print this` or `--workers N`.
fn option(line: &str) -> Option<Opt> {
    let short = line.strip_prefix('-').and_then(|rest| rest.chars().next()).filter(|short| *short != '-');
    let rest = if short.is_some() { line.get(2..)?.strip_prefix(", ")? } else { line }.strip_prefix("--")?;
    let mut words = rest.splitn(2, ' ');
    let long = words.next()?.to_owned();
    // The description follows at least two spaces, and an argument follows one.
    let argument = words.next().filter(|rest| !rest.starts_with(' ')).and_then(|rest| rest.split(' ').next());
    Some(Opt { long, short, argument: argument.filter(|word| !word.is_empty()).map(str::to_owned) })
}

fn packaged(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a man page, with plain hyphens.
fn man_page(program: &str) -> Vec<String> {
    packaged(&format!("{program}.1")).replace("\\-", "-").lines().map(str::to_owned).collect()
}

/// The words in a text that begin with `mark` and continue like the name of an option, sorted, each once.
fn names_after<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let name = |rest: &'a str| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
        &rest[..end]
    };
    let mut names: Vec<&str> = text.match_indices(mark).map(|(at, _)| name(&text[at + mark.len()..])).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

/// A command's arguments in the form of a man page: `Ar user_id Op Ar password` for `<user_id> [password]`. `Op`
/// reaches to the end of the line, so brackets before the last are `Oo` and `Oc`.
fn in_mdoc(arguments: &str) -> String {
    let mut mdoc = arguments.replace("[<", "[").replace(">]", "]").replace('<', "Ar ").replace('>', "");
    while mdoc.matches('[').count() > 1 {
        mdoc = mdoc.replacen('[', "Oo Ar ", 1).replacen(']', " Oc", 1);
    }
    mdoc.replace('[', "Op Ar ").replace(']', "").replace("Ar --", "Fl -")
}

#[test]
fn every_option_is_in_the_man_page_and_no_other() {
    for program in PROGRAMS {
        let of_item = |line: &String| -> Option<Opt> {
            let words: Vec<&str> = line.strip_prefix(".It Fl ")?.split(' ').collect();
            Some(match words.as_slice() {
                [long] => Opt { long: long[1..].into(), short: None, argument: None },
                [short, ",", long] => Opt { long: long[1..].into(), short: short.chars().next(), argument: None },
                [long, "Ar", argument] => {
                    Opt { long: long[1..].into(), short: None, argument: Some((*argument).to_owned()) }
                }
                _ => panic!("{program}.1: {line}"),
            })
        };
        let mut told: Vec<Opt> = man_page(program).iter().filter_map(of_item).collect();
        told.sort();
        assert_eq!(told, options(program), "{program}.1");
    }
}

#[test]
fn every_command_is_in_the_man_page_with_its_arguments_and_what_it_does() {
    let items = |program: &str| -> Vec<(String, String)> {
        let page = man_page(program);
        let pairs = page.windows(2).filter(|pair| pair[0].starts_with(".It Ic "));
        pairs.map(|pair| (pair[0].clone(), pair[1].to_lowercase())).collect()
    };
    let item = |name: &str, arguments: &str, what: &str| {
        let heading = format!(".It Ic {name} {arguments}").trim_end().to_owned();
        (heading, format!("{what}.").to_lowercase())
    };
    let commands = COMMANDS.iter().map(|usage| item(usage.name(), &in_mdoc(usage.arguments), usage.summary));
    assert_eq!(items("groupshare-client"), commands.collect::<Vec<_>>());
    let page = man_page("groupshare-client");
    for other in COMMANDS.iter().flat_map(|usage| &usage.names[1..]) {
        assert!(page.contains(&format!(".Ic {other}")), "{other} does the same as another command");
    }
    let commands = table::COMMANDS.iter().map(|usage| item(usage.name(), &in_mdoc(usage.arguments), usage.summary));
    assert_eq!(items("groupshare-tracker"), commands.collect::<Vec<_>>());
    let page = man_page("groupshare-tracker");
    for other in table::COMMANDS.iter().flat_map(|usage| &usage.names[1..]) {
        assert!(page.contains(&format!(".Ic {other}")), "{other} does the same as another command");
    }
}

#[test]
fn every_command_of_ctl_is_completed_in_every_shell() {
    let words = |usage: &&table::OperatorUsage| usage.runs != table::Runs::ConsoleOnly;
    let names: Vec<&str> = table::COMMANDS.iter().filter(words).map(|usage| usage.name()).collect();
    let names = names.join(" ");
    assert!(packaged("completions/bash/groupshare-tracker").contains(&format!("compgen -W '{names}' ")), "{names}");
    assert!(packaged("completions/zsh/_groupshare-tracker").contains(&format!("compadd {names}\n")), "{names}");
    assert!(packaged("completions/fish/groupshare-tracker.fish").contains(&format!(" -a '{names}'\n")), "{names}");
}

#[test]
fn every_command_of_an_operator_is_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md");
    let docs = fs::read_to_string(path).expect("readable");
    for usage in table::COMMANDS {
        let row = format!("\n| `{}` | {} |\n", usage.synopsis().replace('|', "\\|"), usage.summary);
        assert!(docs.contains(&row), "{row}");
    }
}

#[test]
fn every_option_is_completed_in_every_shell_and_no_other() {
    for program in PROGRAMS {
        let options = options(program);
        let longs: Vec<&str> = options.iter().map(|option| option.long.as_str()).collect();
        let bash = packaged(&format!("completions/bash/{program}"));
        let zsh = packaged(&format!("completions/zsh/_{program}"));
        let fish = packaged(&format!("completions/fish/{program}.fish"));
        // A comment there spells it out.
        let mut in_bash = names_after(&bash, "--");
        in_bash.retain(|name| *name != "option");
        assert_eq!(in_bash, longs, "bash, {program}");
        assert_eq!(names_after(&zsh, "--"), longs, "zsh, {program}");
        assert_eq!(names_after(&fish, " -l "), longs, "fish, {program}");
        for Opt { long, short, argument } in &options {
            let in_fish = fish.lines().find(|line| line.contains(&format!(" -l {long} "))).expect("it is there");
            let takes = in_fish.contains(" -x ") || in_fish.contains(" -r ");
            assert_eq!(takes, argument.is_some(), "fish, {program}: {in_fish}");
            assert_eq!(zsh.contains(&format!("--{long}=[")), argument.is_some(), "zsh, {program} --{long}");
            let in_case = bash.lines().any(|line| {
                let patterns = line.split(')').next().unwrap_or_default();
                patterns.split('|').any(|pattern| pattern.trim() == format!("--{long}"))
            });
            assert_eq!(in_case, argument.is_some(), "bash, {program} --{long}");
            if let Some(short) = short {
                assert!(
                    bash.contains(&format!(" -{short} --{long} ")) || bash.contains(&format!(" -{short} --{long}'"))
                );
                assert!(zsh.contains(&format!("{{-{short},--{long}}}")), "zsh, {program} -{short}");
                assert!(in_fish.contains(&format!(" -s {short} ")), "fish, {program} -{short}");
            }
        }
    }
}

#[test]
fn the_service_starts_the_tracker_with_a_command_line_that_it_takes() {
    let unit = packaged("groupshare-tracker@.service").replace("%i", "2");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let (program, arguments) = line.split_once(' ').expect("arguments");
    assert_eq!(program, "/usr/local/bin/groupshare-tracker", "make install puts its own folder there");
    let Ok(tracker_args::Invocation::Run(args)) = tracker_args::parse("groupshare-tracker", arguments.split(' '))
    else {
        panic!("{arguments}");
    };
    assert_eq!((args.number, args.tracker_info.to_str()), (2, Some("/etc/groupshare/tracker_info.txt")));
    let config = args.config.map(|file| file.path);
    assert_eq!(config.as_deref(), Some(Path::new("/etc/groupshare/tracker.conf")));
    // The tracker writes only into the one folder that the service may write. The list and the programs lie elsewhere.
    assert!(unit.contains("\nStateDirectory=groupshare\n") && unit.contains("\nProtectSystem=strict\n"));
    for path in [args.key_file, args.data_dir] {
        assert!(path.expect("given").starts_with("/var/lib/groupshare"));
    }
    let page = packaged("groupshare-tracker.1").replace("\\-", "-");
    for path in [
        "/etc/groupshare/tracker_info.txt",
        "/etc/groupshare/tracker.conf",
        "/var/lib/groupshare/tracker.key",
        "/var/lib/groupshare/tracker-N",
    ] {
        assert!(page.contains(path), "{path} is in the man page");
    }
}

#[test]
fn the_tracker_takes_every_proposed_option_and_none_holds_before() {
    let text = packaged("tracker.conf");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
    let proposed = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
    let lines: Vec<&str> = text.lines().filter(proposed).map(|line| &line[1..]).collect();
    assert!(!lines.is_empty());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tracker.conf");
    fs::write(&file, lines.join("\n")).expect("written");
    let config = format!("--config={}", file.display());
    assert!(matches!(tracker_args::parse("tracker", [config]), Ok(tracker_args::Invocation::Run(_))), "{lines:?}");
}
