//! The tracker's program: arguments, start, exit code.

use groupshare::model::exit::Exit;
use groupshare::sys::program_name;
use groupshare::tracker::args;
use groupshare::tracker::args::Invocation;
use groupshare::tracker::program;
use groupshare::tracker::program::{ProgramError, ctl_program};
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = program_name("tracker");
    let exit = |outcome, failed| exit(&name, outcome, failed);
    let exit = match args::parse(&name, std::env::args_os().skip(1)) {
        Ok(Invocation::Run(args)) => exit(program::run(&args, &name).map(|()| true), Exit::CannotStart),
        Ok(Invocation::Check(dir)) => exit(program::check(&dir), Exit::Refused),
        Ok(Invocation::Repair(dir)) => exit(program::repair(&dir).map(|()| true), Exit::Refused),
        Ok(Invocation::Ctl(args)) => ctl_program::run(&args, &name),
        Ok(Invocation::Tell(text)) => {
            println!("{text}");
            Exit::Success
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            Exit::Usage
        }
    };
    exit.into()
}

/// `failed` stands for an error.
fn exit(name: &str, outcome: Result<bool, ProgramError>, failed: Exit) -> Exit {
    match outcome {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Refused,
        Err(error) => {
            eprintln!("{name}: {error}");
            failed
        }
    }
}
