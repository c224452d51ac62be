//! The client: arguments, start, exit code.

fn main() {}
