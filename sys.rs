//! System calls that the standard library lacks, each behind one safe function.

pub mod copying;
pub mod durable;
pub mod echo_off;
pub mod file_id;
pub mod files;
pub mod folder_events;
pub mod heap;
pub mod local;
pub mod net;
pub mod owned_thread;
pub mod random;
pub mod space;
pub(crate) mod standstill;
pub mod vectored;
pub mod waker;

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name under which this program was started, or `otherwise` if that name cannot be shown.
pub fn program_name(otherwise: &str) -> String {
    let started = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&started).file_name().and_then(std::ffi::OsStr::to_str);
    let shown = name.filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    shown.unwrap_or(otherwise).to_owned()
}

/// The time by this machine's clock, in seconds since 1970.
pub fn unix_time_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The processor time of this thread. Time in which the thread waits or the program is stopped does not count.
pub fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // Neither is negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Gives this thread a nice value, unless it has a higher one. Beside other busy threads it then gets less of a core.
pub fn give_way(nice: i32) {
    // Linux takes the calling thread here, and any thread may raise its own value.
    if rustix::process::getpriority_process(None).is_ok_and(|own| own < nice) {
        let _ = rustix::process::setpriority_process(None, nice);
    }
}

/// Starts to write the file's dirty pages to the disk and returns at once, so that a later fsync finds little to do.
/// Tells nothing about success: the fsync does.
#[allow(unsafe_code)]
pub fn start_write_back(file: &File) {
    // SAFETY: the call takes four integers and touches no memory of this process. The borrow of `file` keeps the
    // descriptor open.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Whether standard error goes to the journal of systemd, which adds times and levels itself.
pub fn stderr_is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let is = |found: rustix::fs::Stat| named == format!("{}:{}", found.st_dev, found.st_ino);
    rustix::fs::fstat(io::stderr()).is_ok_and(is)
}

/// Raises this process's limit on open descriptors to the hard limit, and returns it. `None` is no limit.
///
/// # Errors
/// Those of setrlimit(2).
pub fn raise_descriptor_limit() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum)
}

/// Whether an error says that the process or the machine has no descriptor left.
pub fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Forbids core dumps of this process, and forbids other processes of its user to read its memory or trace it. Root
/// still may.
///
/// # Errors
/// Those of prctl(2).
pub fn keep_memory_private() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// How many threads the control groups of this process may have (`TasksMax` of systemd). `None` if there is no limit,
/// or if this process cannot read it.
pub fn thread_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = |group: &Path| Path::new("/sys/fs/cgroup").join(group).join("pids.max");
    let max = |group: &Path| fs::read_to_string(folder(group)).ok()?.trim().parse::<u64>().ok();
    Path::new(group).ancestors().filter_map(max).min()
}

/// Makes a write beyond the file size limit of this process (`ulimit -f`) fail with an error. By default it would end
/// the process.
#[allow(unsafe_code)]
pub fn survive_file_size_limit() {
    // SAFETY: the call sets a disposition that runs no code of this process. It can only fail for a signal that does
    // not exist.
    let _ = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// The words of a system error without its number.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn the_descriptor_limit_is_raised_as_far_as_it_goes() {
        let limit = raise_descriptor_limit().expect("up to the hard limit anybody may");
        assert_eq!(getrlimit(Resource::Nofile).current, limit);
    }

    #[test]
    fn an_error_is_told_in_words_only() {
        assert_eq!(reason(&Errno::NOSPC.into()), "No space left on device");
        assert_eq!(reason(&io::Error::other("odd")), "odd");
    }

    #[test]
    fn the_time_of_a_thread_is_that_of_its_work() {
        let (begun, began) = (thread_time(), std::time::Instant::now());
        let (_sender, nothing) = crossbeam_channel::bounded::<()>(0);
        assert!(nothing.recv_timeout(Duration::from_millis(200)).is_err());
        let waited = thread_time() - begun;
        assert!(waited < began.elapsed() / 2, "{waited:?}");
        let mut sum = 0_u64;
        while thread_time() - begun == waited {
            sum = std::hint::black_box(sum + 1);
        }
    }
}
