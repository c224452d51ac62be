#![no_main]

groupshare_fuzz::target!("client_folders");
