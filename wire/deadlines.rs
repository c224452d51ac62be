//! How long either side of a connection waits for the other.

use std::time::Duration;

/// The deadline of a whole frame, in or out, from its first byte. A piece may take longer as long as bytes of it move
/// within this time, since a link may be slow.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(20);
/// The deadline of a handshake, from the connection on.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// The deadline of all waits of one request at a tracker together: for room for its reply, for its turns, for another
/// tracker. After it the tracker refuses the request with `SlowDown`.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(25);
/// How long a client waits for the reply to a request that may wait at the tracker. It is long enough to hear the
/// tracker's own refusal.
pub const WAITED_REPLY_DEADLINE: Duration = Duration::from_secs(35);
/// The same for every other request.
pub const REPLY_DEADLINE: Duration = Duration::from_secs(10);
/// A side with nothing to say sends a heartbeat after this long.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// A side that has heard nothing for this long ends the connection.
pub const IDLE_DEADLINE: Duration = Duration::from_secs(45);
