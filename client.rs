//! The program that members run: arguments, start, exit code.

use groupshare::client::args::{Invocation, parse};
use groupshare::client::start;
use groupshare::model::exit::Exit;
use groupshare::sys::{keep_memory_private, program_name, reason};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = program_name("client");
    if let Err(error) = keep_memory_private() {
        eprintln!("{name}: this program's memory cannot be protected from other programs: {}", reason(&error));
    }
    match parse(&name, std::env::args_os().skip(1)) {
        Ok(Invocation::Run(args)) => start::run(*args).into(),
        Ok(Invocation::Tell(text)) => match writeln!(io::stdout(), "{text}") {
            Ok(()) => Exit::Success,
            Err(error) => {
                eprintln!("{name}: cannot write to standard output: {}", reason(&error));
                Exit::OutputLost
            }
        }
        .into(),
        Err(error) => {
            eprintln!("{error}");
            Exit::Usage.into()
        }
    }
}
