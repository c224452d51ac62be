#![no_main]

groupshare_fuzz::target!("brought");
