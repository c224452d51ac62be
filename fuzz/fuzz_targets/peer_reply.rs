#![no_main]

groupshare_fuzz::target!("peer_reply");
