//! Where answers go: standard output, a device or a pipe as they come, or a file that has its name only once it is complete.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tempfile::TempPath;

use super::on_interrupt;
use crate::system;

/// Standard output or a file.
pub enum Output {
    /// Standard output.
    Stream(BufWriter<StdoutLock<'static>>),
    /// A device or a pipe, which a file must not take the place of.
    Device(BufWriter<File>, PathBuf),
    /// A file that is being written under another name, which Ctrl-C removes.
    File {
        /// Its contents.
        writer: BufWriter<File>,
        /// Its name until it is complete.
        unfinished: Unfinished,
        /// Its name from then on.
        path: PathBuf,
    },
}

impl Output {
    /// `-` is standard output.
    ///
    /// # Errors
    /// The file's folder cannot be written.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stream(BufWriter::new(io::stdout().lock())));
        }
        let cannot = || format!("cannot write {}", path.display());
        if std::fs::metadata(path).is_ok_and(|it| !it.is_file()) {
            let device = File::options().write(true).open(path);
            return Ok(Self::Device(
                BufWriter::new(device.with_context(cannot)?),
                path.to_owned(),
            ));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let (file, unfinished) = tempfile::Builder::new()
            .prefix(".unfinished-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .with_context(cannot)?
            .into_parts();
        Ok(Self::File {
            writer: BufWriter::new(file),
            unfinished: Unfinished::new(unfinished).with_context(cannot)?,
            path: path.to_owned(),
        })
    }

    /// A file, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
        let mut output = Self::open(path)?;
        let written = output.write_all(contents);
        written.with_context(|| format!("cannot write {}", path.display()))?;
        output.finish()
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// What is left cannot be written, or the name cannot be taken.
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stream(mut writer) => Ok(writer.flush()?),
            Self::Device(mut writer, path) => {
                let cannot = || format!("cannot write {}", path.display());
                writer.flush().with_context(cannot)
            }
            Self::File {
                writer,
                unfinished,
                path,
            } => {
                let cannot = || format!("cannot write {}", path.display());
                let file = writer.into_inner().with_context(cannot)?;
                file.sync_all().with_context(cannot)?;
                unfinished.persist(&path).with_context(cannot)
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(writer) => writer.write(bytes),
            Self::Device(writer, _) => writer.write(bytes),
            Self::File { writer, .. } => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(writer) => writer.flush(),
            Self::Device(writer, _) => writer.flush(),
            Self::File { writer, .. } => writer.flush(),
        }
    }
}

/// Prints to standard output as `print!` does, for work whose result is elsewhere: a reader that has gone away takes nothing
/// from that.
pub fn say(text: impl Display) {
    // Only who looks on has lost something.
    let _ = write!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
}

/// A line on standard error, whether or not anybody is there to read it.
pub fn note(line: impl Display) {
    // In one piece, so that lines of two threads do not run into each other.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A file that has no name yet and is removed with this, and on Ctrl-C.
pub struct Unfinished(u64);

/// The files of the process that have no name yet: whoever takes one out decides what becomes of it.
#[derive(Default)]
struct All {
    paths: BTreeMap<u64, TempPath>,
    made: u64,
}

static ALL: Mutex<Option<All>> = Mutex::new(None);

impl Unfinished {
    fn new(path: TempPath) -> io::Result<Self> {
        let mut all = lock_all();
        if all.is_none() {
            on_interrupt(|| {
                // Held to the end, so that a file that is complete is either named or removed.
                let mut all = lock_all();
                drop(all.take());
                note("error: interrupted");
                system::end_at_once(1);
            })?;
        }
        let all = all.get_or_insert_default();
        all.made += 1;
        all.paths.insert(all.made, path);
        Ok(Self(all.made))
    }

    fn persist(self, path: &Path) -> io::Result<()> {
        // Held until it is named.
        let mut all = lock_all();
        let unfinished = all.as_mut().and_then(|all| all.paths.remove(&self.0));
        let named = unfinished.map_or(Ok(()), |unfinished| unfinished.persist(path));
        drop(all);
        Ok(named?)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(all) = &mut *lock_all() {
            drop(all.paths.remove(&self.0));
        }
    }
}

fn lock_all() -> MutexGuard<'static, Option<All>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::FileTypeExt as _;

    use super::*;

    #[test]
    fn a_pipe_is_written_to_and_stays_a_pipe() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status()?;
        assert!(made.success());
        let mut reader = File::options().read(true).write(true).open(&path)?;
        let mut output = Output::open(&path)?;
        output.write_all(b"answer")?;
        output.finish()?;
        assert!(std::fs::metadata(&path)?.file_type().is_fifo());
        let mut written = [0; 6];
        reader.read_exact(&mut written)?;
        assert_eq!(&written, b"answer");
        Ok(())
    }
}
