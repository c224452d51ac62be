#![no_main]

groupshare_fuzz::target!("cluster");
