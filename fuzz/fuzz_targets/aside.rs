#![no_main]

groupshare_fuzz::target!("aside");
