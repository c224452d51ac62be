//! Tells the service manager the state of the program, as sd_notify(3) describes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable with the service manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// The service manager that started this program, if there is one.
#[derive(Debug)]
pub struct ServiceManager(Option<OsString>);

impl ServiceManager {
    /// The service manager that the environment names.
    pub fn from_env() -> Self {
        Self(env::var_os(SOCKET).filter(|name| !name.is_empty()))
    }

    /// Says that the program serves now, and passes on its status line.
    ///
    /// # Errors
    /// Those of sendto(2).
    pub fn ready(&self, status: &str) -> io::Result<()> {
        self.tell(&format!("READY=1\nSTATUS={status}"))
    }

    /// Says that the program has begun to end.
    ///
    /// # Errors
    /// Those of sendto(2).
    pub fn stopping(&self) -> io::Result<()> {
        self.tell("STOPPING=1")
    }

    fn tell(&self, state: &str) -> io::Result<()> {
        let Some(name) = &self.0 else { return Ok(()) };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address(name)?).map(|_| ())
    }
}

/// A path, or behind an `@` an abstract name without a folder.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram) -> String {
        let mut message = [0; 100];
        let len = listener.recv(&mut message).expect("told");
        String::from_utf8_lossy(&message[..len]).into_owned()
    }

    #[test]
    fn a_manager_is_told_at_a_path_or_a_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("groupshare-test-{}", std::process::id());
        for (listener, socket) in [
            (UnixDatagram::bind(&path), path.clone().into_os_string()),
            (
                SocketAddr::from_abstract_name(&name).and_then(|at| UnixDatagram::bind_addr(&at)),
                format!("@{name}").into(),
            ),
        ] {
            let (listener, manager) = (listener.expect("bound"), ServiceManager(Some(socket)));
            manager.ready("it runs").expect("sent");
            assert_eq!(heard(&listener), "READY=1\nSTATUS=it runs");
            manager.stopping().expect("sent");
            assert_eq!(heard(&listener), "STOPPING=1");
        }
        assert!(ServiceManager(Some(folder.path().join("gone").into_os_string())).ready("").is_err());
        ServiceManager(None).ready("").expect("nobody wants to know");
    }
}
