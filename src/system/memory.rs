//! The memory that this process may still take.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes left, by the system's and the containers' account; none where neither says.
pub fn available_memory() -> Option<u64> {
    available(Path::new("/"))
}

fn available(root: &Path) -> Option<u64> {
    let info = fs::read_to_string(root.join("proc/meminfo")).ok();
    let system =
        info.and_then(|info| field(&info, "MemAvailable:").map(|kilobytes| kilobytes * 1024));
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    groups
        .lines()
        .flat_map(|group| containers(root, group))
        .chain(system)
        .min()
}

/// What a group of this process and those around it leave, of a line `number:controllers:path`. Version 2 has one such line,
/// without controllers.
fn containers(root: &Path, group: &str) -> Vec<u64> {
    let mut parts = group.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let top = root.join("sys/fs/cgroup");
    let (top, [most, taken, idle]) = if controllers.is_empty() {
        (top, ["memory.max", "memory.current", "inactive_file"])
    } else if controllers.split(',').any(|name| name == "memory") {
        let files = [
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ];
        (top.join("memory"), files)
    } else {
        return Vec::new();
    };
    let inner = top.join(path.trim_start_matches('/'));
    // Inside of a container its own group may be the top, whatever the path says.
    let folders: Vec<PathBuf> = inner.ancestors().map(Path::to_owned).collect();
    let folders = folders
        .into_iter()
        .filter(|folder| folder.starts_with(&top));
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    folders
        .filter_map(|folder| {
            let most = number(folder.join(most))?;
            let taken = number(folder.join(taken))?;
            // Files that were read and are not in use go when memory is asked for.
            let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let taken = taken.saturating_sub(field(&stat, idle).unwrap_or(0));
            Some(most.saturating_sub(taken))
        })
        .collect()
}

/// The number behind a name on a line of its own.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut line| match line.next() {
        Some(found) if found == name => line.next()?.parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn left(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        available(root.path())
    }

    const SYSTEM: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:  900 kB\nMemAvailable:   800 kB\n",
    );

    #[test]
    fn the_narrowest_of_the_groups_around_a_process_counts() {
        assert_eq!(left(&[]), None);
        assert_eq!(left(&[SYSTEM]), Some(800 << 10));
        let nested = [
            SYSTEM,
            ("proc/self/cgroup", "0::/pod/inner\n"),
            ("sys/fs/cgroup/pod/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/inner/memory.current", "9\n"),
            ("sys/fs/cgroup/pod/memory.max", "5000\n"),
            ("sys/fs/cgroup/pod/memory.current", "2000\n"),
        ];
        assert_eq!(left(&nested), Some(3000));
        let elsewhere = [
            SYSTEM,
            ("proc/self/cgroup", "0::/a/path/of/the/host\n"),
            ("sys/fs/cgroup/memory.max", "700\n"),
            ("sys/fs/cgroup/memory.current", "100\n"),
        ];
        assert_eq!(left(&elsewhere), Some(600));
        let first = [
            SYSTEM,
            ("proc/self/cgroup", "9:cpu:/x\n4:memory:/x\n"),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "4000\n"),
            ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "1000\n"),
            (
                "sys/fs/cgroup/memory/x/memory.stat",
                "inactive_file 1\ntotal_inactive_file 400\n",
            ),
        ];
        assert_eq!(left(&first), Some(3400));
    }

    #[test]
    fn files_that_were_read_before_take_no_memory_away() {
        let group = [
            SYSTEM,
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "5000\n"),
            ("sys/fs/cgroup/memory.current", "4900\n"),
            (
                "sys/fs/cgroup/memory.stat",
                "anon 300\ninactive_file 4500\n",
            ),
        ];
        assert_eq!(left(&group), Some(4600));
    }
}
