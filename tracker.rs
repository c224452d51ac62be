//! The tracker's program: arguments, start, exit code.

use groupshare::model::exit::Exit;
use groupshare::sys::{keep_memory_private, program_name, reason};
use groupshare::tracker::args;
use groupshare::tracker::args::Invocation;
use groupshare::tracker::program;
use groupshare::tracker::program::{ProgramError, ctl_program};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = program_name("tracker");
    if let Err(error) = keep_memory_private() {
        eprintln!("{name}: this program's memory cannot be protected from other programs: {}", reason(&error));
    }
    let exit = |outcome, failed| exit(&name, outcome, failed);
    let exit = match args::parse(&name, std::env::args_os().skip(1)) {
        Ok(Invocation::Run(args)) => exit(program::run(&args, &name).map(|()| true), Exit::CannotStart),
        Ok(Invocation::Check(dir)) => exit(program::check(&dir), Exit::Refused),
        Ok(Invocation::Repair(dir)) => exit(program::repair(&dir).map(|()| true), Exit::Refused),
        Ok(Invocation::Ctl(args)) => ctl_program::run(&args, &name),
        Ok(Invocation::Tell(text)) => {
            // If standard output is lost, standard error may still be there.
            match writeln!(io::stdout(), "{text}") {
                Ok(()) => Exit::Success,
                Err(error) => {
                    eprintln!("{name}: cannot write to standard output: {}", reason(&error));
                    Exit::OutputLost
                }
            }
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            Exit::Usage
        }
    };
    exit.into()
}

/// The exit code of an outcome; `failed` is the code for an error.
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
