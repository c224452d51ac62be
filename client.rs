//! The program that members run: arguments, start, exit code.

use groupshare::client::args::{Invocation, parse};
use groupshare::client::start;
use groupshare::model::exit::Exit;
use groupshare::sys::program_name;
use std::process::ExitCode;

fn main() -> ExitCode {
    match parse(&program_name("client"), std::env::args_os().skip(1)) {
        Ok(Invocation::Run(args)) => start::run(*args).into(),
        Ok(Invocation::Tell(text)) => {
            println!("{text}");
            Exit::Success.into()
        }
        Err(error) => {
            eprintln!("{error}");
            Exit::Usage.into()
        }
    }
}
