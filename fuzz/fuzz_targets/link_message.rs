#![no_main]

groupshare_fuzz::target!("link_message");
