#![no_main]

groupshare_fuzz::target!("json_command");
