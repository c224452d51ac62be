#![no_main]

groupshare_fuzz::target!("follow_log");
