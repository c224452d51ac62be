//! How long either side of a connection waits for the other.

use std::time::Duration;

/// From the first byte of a frame, all of it must have come in or gone out within this time. A piece may take longer,
/// as long as bytes of it move within this time: a link may be slow.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(20);
/// A handshake, from the connection to its end.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// All waits of one request at a tracker together: for room for its reply, for its turns, for another tracker. Whatever has
/// not come about by then is refused with `SlowDown`.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(25);
/// A client waits so long for the reply to a request that may wait at the tracker, and hears the tracker's own word.
pub const WAITED_REPLY_DEADLINE: Duration = Duration::from_secs(35);
/// The same for any other request.
pub const REPLY_DEADLINE: Duration = Duration::from_secs(10);
/// A side with nothing to say says so after this long, so that the other side knows that it is there.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// A side that has heard nothing for this long ends the connection.
pub const IDLE_DEADLINE: Duration = Duration::from_secs(45);
