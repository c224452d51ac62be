//! The tracker's program: arguments, start, exit code.

use groupshare::tracker::args::{self, ArgsError, Invocation};
use groupshare::tracker::program;
use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Run(args)) => match program::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("tracker: {error}");
                ExitCode::FAILURE
            }
        },
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
