//! What only the operating system can do, and what it need not be asked twice for: a wish that it refuses changes nothing.

mod memory;

pub use memory::available_memory;

/// Lets this thread run only where a core has nothing else to do. Where the system knows no such threads, it is one like others.
pub fn run_in_the_background() {
    #[cfg(target_os = "linux")]
    {
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: 0 is the calling thread, and the parameters live until the call returns.
        let refused =
            unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } != 0;
        if refused {
            // On Linux this is of the thread alone.
            let _ = rustix::process::nice(19);
        }
    }
}

/// Lets SIGTERM and SIGINT end the process at once from now on, as they do where nobody listens to them.
pub fn end_at_signals() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the default action needs no handler, and can be set at any time from any thread.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Ends the process without what the libraries in it do at an end, which pulls from under threads what they still compute with.
pub fn end_at_once(code: i32) -> ! {
    // SAFETY: it takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// Raises the number of files that can be open to the most that this process may have, and says what it is; none where there is no
/// bound.
pub fn raise_open_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current
}

/// The allocator's number for the milliseconds that it keeps free memory for what comes next (`mi_option_purge_delay`).
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Whether free memory is kept a moment for what comes next, or goes back to the system at once: then what is loaded piece by piece
/// takes no more than the largest piece beside what stays.
pub fn keep_free_memory(keep: bool) {
    // SAFETY: it takes no pointer, and may be called at any time from any thread.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, if keep { 1_000 } else { 0 });
    }
}

/// Gives memory that is free back to the system: after something large has gone, not in the course of work.
pub fn give_memory_back() {
    // SAFETY: it takes no pointer, and may be called at any time from any thread.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The scheduling policy and the nice value of this thread, as proc(5) has them.
    fn priority() -> (i32, i32) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split(' ').collect();
        (fields[39].parse().unwrap(), fields[17].parse().unwrap())
    }

    #[test]
    fn a_thread_in_the_background_yields_to_every_other() {
        let before = priority();
        let (policy, nice) = std::thread::spawn(|| {
            run_in_the_background();
            priority()
        })
        .join()
        .unwrap();
        assert!(policy == libc::SCHED_IDLE || nice == 19, "{policy} {nice}");
        assert_eq!(priority(), before, "the others are as they were");
    }
}
