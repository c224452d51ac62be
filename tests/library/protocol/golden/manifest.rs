//! Manifests beside their bytes.

use groupshare::model::digest::Sha1Digest;
use groupshare::model::manifest::{FileAttributes, FileEntry, FileTime, Manifest};
use groupshare::model::path::RelPath;

fn manifest(files: &[(&str, u64)], digests: &[u8]) -> Manifest {
    let file = |&(path, len): &(&str, u64)| FileEntry { path: RelPath::parse(path).expect("a path"), len };
    let digests = digests.iter().map(|&byte| Sha1Digest([byte; 20])).collect();
    Manifest::new(files.iter().map(file).collect(), digests).expect("a manifest")
}

pub(super) fn manifests() -> Vec<(Manifest, &'static str)> {
    let time = |seconds, nanoseconds| FileTime::new(seconds, nanoseconds).expect("a time");
    let attributes = vec![
        FileAttributes { executable: true, modified: time(1_700_000_000, 999_999_999) },
        FileAttributes { executable: false, modified: time(-1, 0) },
    ];
    vec![
        (
            manifest(&[("empty", 0)], &[]),
            r#"
            "GSMANIF" 02                # magic, version of the encoding
            00000017                    # length of the hashed part: 23
            00000001                    # one file
            0005 "empty"                #   its path
            0000000000000000            #   its length
            00000000                    # no piece
            00                          # no section
            "#,
        ),
        (
            manifest(&[("film.mkv", 1_000_000)], &[0x11, 0x22]),
            r#"
            "GSMANIF" 02                # magic, version of the encoding
            00000042                    # length of the hashed part: 66
            00000001                    # one file
            0008 "film.mkv"             #   its path
            00000000000f4240            #   its length: 1,000,000
            00000002                    # two pieces
            11*20                       #   SHA-1 of the first 524,288 bytes
            22*20                       #   SHA-1 of the rest
            00                          # no section
            "#,
        ),
        (
            manifest(&[("d/a/x", 3), ("d/a b", 4)], &[0x33]).with_attributes(attributes).expect("two files"),
            r#"
            "GSMANIF" 02                # magic, version of the encoding
            0000003a                    # length of the hashed part: 58
            00000002                    # two files, in order of their components
            0005 "d/a/x"                #   path
            0000000000000003            #   length
            0005 "d/a b"                #   path
            0000000000000004            #   length
            00000001                    # one piece
            33*20                       #   SHA-1 of all 7 bytes
            01                          # one section
            01                          #   kind: attributes
            0000001a                    #   length: 26
            01                          #   d/a/x: executable
            000000006553f100            #     seconds: 1,700,000,000
            3b9ac9ff                    #     nanoseconds: 999,999,999
            00                          #   d/a b: not executable
            ffffffffffffffff            #     seconds: -1
            00000000                    #     nanoseconds
            "#,
        ),
    ]
}
