//! The tracker's program: arguments, start, exit code.

use groupshare::tracker::args::{self, ArgsError, Invocation};
use groupshare::tracker::program::{self, ProgramError};
use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Run(args)) => exit(program::run(&args).map(|()| true)),
        Ok(Invocation::Check(dir)) => exit(program::check(&dir)),
        Ok(Invocation::Repair(dir)) => exit(program::repair(&dir).map(|()| true)),
        Ok(Invocation::Tell(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tracker: {error}");
            ExitCode::from(ArgsError::EXIT_CODE)
        }
    }
}

fn exit(outcome: Result<bool, ProgramError>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tracker: {error}");
            ExitCode::FAILURE
        }
    }
}
