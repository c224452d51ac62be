//! Notices as bytes.

use crate::model::notice::Notice;
use crate::wire::codec::wire_variants;

wire_variants!(Notice {
    1 Accepted { group }
    2 Rejected { group }
    3 Removed { group }
    4 UserRenamed { from, to }
    5 GroupRenamed { from, to }
    6 ShareRenamed { group, from, to }
    7 DecisionOverridden { group, user }
    8 RequestOverridden { group }
    9 ShareOverridden { group, name }
    10 GroundGone { kind, file }
    11 Unplaced { change }
    12 Older { count }
    13 PasswordOverridden {}
    14 PasswordReset {}
    15 SessionsEnded {}
    16 AccountDisabled {}
    17 AccountEnabled {}
    18 GroupGiven { group }
    19 GroupTaken { group, to }
    20 GroupDeleted { group }
    21 NewVersion { group, name, author }
    22 Added { group, by }
    23 OwnerMade { group, by }
    24 OwnerDropped { group, by }
});
