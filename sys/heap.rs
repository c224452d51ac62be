//! How much free memory glibc's malloc keeps for this process. With another malloc this room does nothing, since the
//! rules differ.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The variable from which glibc takes its settings at the start of a program.
const TUNABLES: &str = "GLIBC_TUNABLES";
/// How many freed blocks of each size glibc keeps for each thread.
const KEPT_FOR_THREADS: &str = "glibc.malloc.tcache_count";

/// Gives free memory back to the system. By itself glibc keeps the gaps between blocks in use, in up to eight arenas
/// for each core.
#[allow(unsafe_code)]
pub fn give_back_free_memory() {
    // SAFETY: the call takes the locks of malloc, and returns only pages that hold nothing but free blocks.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Makes malloc give blocks of 4 MiB and more back to the system when they are freed. By itself glibc keeps them from
/// the second time on, several for each thread.
#[allow(unsafe_code)]
pub fn give_back_large_blocks() {
    // SAFETY: the call sets a number that malloc reads under a lock of its own.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 4 << 20) };
}

/// Makes malloc keep no freed blocks for single threads. By itself glibc keeps up to seven blocks of each size up to 1
/// KiB for each thread. With each block it keeps the block's page. That is half a MiB for a thread that has changed a
/// large state.
///
/// glibc takes this setting only from the environment, at the start of a program. So this function starts the program
/// again, as the same process and under the same name. It returns only if that has happened already or is needless.
///
/// # Errors
/// The program cannot be started again. It goes on unchanged.
pub fn keep_none_for_threads() -> io::Result<()> {
    if cfg!(not(target_env = "gnu")) {
        return Ok(());
    }
    let Some(tunables) = without_kept(std::env::var_os(TUNABLES)) else { return Ok(()) };
    let mut args = std::env::args_os();
    let mut again = Command::new(std::env::current_exe()?);
    if let Some(name) = args.next() {
        again.arg0(name);
    }
    Err(again.args(args).env(TUNABLES, tunables).exec())
}

/// The settings with `KEPT_FOR_THREADS` at 0. `None` if they name it already, with any value.
fn without_kept(tunables: Option<OsString>) -> Option<OsString> {
    let mut tunables = tunables.unwrap_or_default();
    if tunables.to_string_lossy().contains(KEPT_FOR_THREADS) {
        return None;
    }
    if !tunables.is_empty() {
        tunables.push(":");
    }
    tunables.push(KEPT_FOR_THREADS);
    tunables.push("=0");
    Some(tunables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_starts_again_once_and_keeps_the_settings_it_was_given() {
        for (given, set) in [
            ("", Some("glibc.malloc.tcache_count=0")),
            ("glibc.malloc.perturb=1", Some("glibc.malloc.perturb=1:glibc.malloc.tcache_count=0")),
            ("glibc.malloc.tcache_count=0", None),
            ("glibc.malloc.tcache_count=7:glibc.malloc.perturb=1", None),
        ] {
            assert_eq!(without_kept(Some(given.into())), set.map(OsString::from), "{given}");
        }
        assert!(without_kept(None).is_some_and(|set| without_kept(Some(set)).is_none()));
    }
}
