//! What BitTorrent programs need to find each other: the description of a file, and a tracker with a fixed answer.

use super::content::digests;
use groupshare::model::piece::PIECE_LEN;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

/// Writes the torrent of one file, with pieces as long as in this project.
pub(crate) fn write_torrent(file: &Path, announce: &str, to: &Path) {
    let name = file.file_name().expect("a file").to_string_lossy();
    let size = fs::metadata(file).expect("there").len();
    let pieces = digests(file, PIECE_LEN as usize);
    let mut torrent = format!("d8:announce{}:{announce}", announce.len()).into_bytes();
    let info = format!("4:infod6:lengthi{size}e4:name{}:{name}12:piece lengthi{PIECE_LEN}e", name.len());
    torrent.extend_from_slice(info.as_bytes());
    torrent.extend_from_slice(format!("6:pieces{}:", pieces.len()).as_bytes());
    torrent.extend_from_slice(&pieces);
    torrent.extend_from_slice(b"ee");
    fs::write(to, torrent).expect("written");
}

/// Starts a tracker that answers every request with these peers on this machine. Returns its address. The tracker ends
/// with this program.
pub(crate) fn start_tracker(peers: &[u16]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let mut body = format!("d8:intervali60e5:peers{}:", peers.len() * 6).into_bytes();
    for port in peers {
        body.extend_from_slice(&[127, 0, 0, 1]);
        body.extend_from_slice(&port.to_be_bytes());
    }
    body.push(b'e');
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let Ok(reading) = stream.try_clone() else { continue };
            // The end of the request's header.
            let _ = BufReader::new(reading).lines().map_while(Result::ok).find(String::is_empty);
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    addr
}
