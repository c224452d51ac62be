//! The state that the sessions of a seeder share.

use super::kept_rests::KeptRests;
use crate::client::keyring::Keyring;
use crate::client::reach::identity::{Doubt, Identity};
use crate::client::upload::admission::Admission;
use crate::client::upload::catalog::Catalog;
use crate::client::upload::event::SeederEvent;
use crate::client::upload::given::TakeGiven;
use crate::client::upload::scarcity::row_place::UploadRow;
use crate::model::digest::KeyId;
use crate::model::id::GroupRef;
use crate::rate::uplink::Uplink;
use crate::sys::net::lingering::LingeringSockets;
use crate::sys::waker::Waker;
use crate::wire::certificate::Certificate;
use crate::wire::connection::FrameSender;
use crate::wire::handshake::{Secret, refusal_in_clear};
use crate::wire::refusal::Code;
use crossbeam_channel as channel;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

/// The state that the sessions of a seeder share.
pub(in crate::client::upload) struct SessionContext {
    pub identity: Arc<Identity>,
    pub keyring: Arc<Keyring>,
    pub catalog: Arc<Catalog>,
    pub uplink: Arc<Uplink>,
    /// The connections that want pieces.
    pub row: Arc<UploadRow>,
    pub events: channel::Sender<SeederEvent>,
    pub take_given: TakeGiven,
    pub admission: Admission,
    /// Data that full sockets have not taken yet.
    pub kept: Arc<KeptRests>,
    /// Connections that were rejected or ended.
    pub leaving: LingeringSockets<Arc<TcpStream>>,
    /// Wakes the thread that polls.
    pub waker: Arc<Waker>,
}

impl SessionContext {
    /// Tells the far side, unencrypted, to come back later.
    pub(super) fn turn_away(&self, stream: Arc<TcpStream>) {
        // Nothing was sent before, so the refusal fits into the empty socket buffer, and this does not wait.
        let _ = (&*stream).write_all(&refusal_in_clear(Code::Busy));
        self.leaving.put(stream, Instant::now());
    }

    /// Ends a connection after its waiting data, as far as the socket has room for them.
    pub(super) fn part(&self, stream: Arc<TcpStream>, sender: &FrameSender) {
        sender.finish();
        self.leaving.put(stream, Instant::now());
    }

    /// Notes the group of a connection. Returns false if its key has changed since the handshake. From here on
    /// `drop_group` finds the connection.
    pub(super) fn is_current(&self, id: u64, group: GroupRef, key: KeyId) -> bool {
        self.admission.of_group(id, group);
        self.keyring.by_id(key).is_some()
    }

    /// Decides on a peer with this certificate that names this key. Returns the group and its key, or the reason for a
    /// refusal.
    pub(super) fn look_at(&self, key: KeyId, certificate: &Certificate) -> Result<(GroupRef, Secret), Code> {
        if certificate.client == self.identity.client() || certificate.key == self.identity.key() {
            return Err(Code::OtherClient);
        }
        match self.identity.check(certificate, Instant::now()) {
            Ok(()) => {}
            // Without a login no group is known either.
            Err(Doubt::NoSigner) => return Err(Code::UnknownKey),
            Err(Doubt::Certificate(_)) => return Err(Code::BadCertificate),
        }
        self.keyring.by_id(key).ok_or_else(|| {
            // The tracker may know the key, but the question takes longer than a peer should wait. The peer comes
            // again.
            let _ = self.events.try_send(SeederEvent::UnknownKey(key));
            Code::UnknownKey
        })
    }
}
