//! How much of the memory that is free glibc's malloc keeps for this process. Elsewhere nothing is done: other mallocs
//! have other rules.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where glibc takes its settings from when a program starts.
const TUNABLES: &str = "GLIBC_TUNABLES";
/// How many freed blocks of each size are kept for each thread.
const KEPT_FOR_THREADS: &str = "glibc.malloc.tcache_count";

/// Gives memory back to the system that is free and not in use. By itself glibc keeps what lies between blocks in use, for
/// each of up to eight times as many arenas as there are cores.
#[allow(unsafe_code)]
pub fn give_back_free_memory() {
    // SAFETY: the call takes the locks of malloc, and lets go of pages that hold nothing but free blocks.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Has blocks of memory of 4 MiB and more given back to the system when they are freed. By itself glibc keeps them from the
/// second time on, several for each thread.
#[allow(unsafe_code)]
pub fn give_back_large_blocks() {
    // SAFETY: the call sets a number that malloc reads under a lock of its own.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 4 << 20) };
}

/// Has no thread keep freed blocks for itself. By itself glibc keeps up to seven of each size up to 1 KiB for each, and
/// for each of them the page in which it lies: half a MiB for a thread that has changed a large state. glibc has that
/// setting only at the start of a program, from the environment. So this starts the program again, as the same process
/// and under the same name, and returns only if that is done already or needless.
///
/// # Errors
/// When the program cannot be started again. It goes on as it is.
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

/// The settings with one more; `None` if it is among them, whatever it says.
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
