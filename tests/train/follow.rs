//! A child of ours, followed by what it says on standard error until it is time for a signal.

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Child, Output};

use crate::program::signal;

/// Waits for so many lines that have these words.
pub fn heard(said: &mut impl BufRead, words: &str, count: usize) -> (bool, String) {
    let (mut all, mut found) = (String::new(), 0);
    while found < count {
        let from = all.len();
        if said.read_line(&mut all).unwrap() == 0 {
            return (false, all);
        }
        found += usize::from(all[from..].contains(words));
    }
    (true, all)
}

/// Sends a signal after so many lines that have these words, unless the child ends before, and waits for its end. Its standard
/// error must be a pipe.
pub fn signalled(mut child: Child, (words, count): (&str, usize), name: &str) -> (bool, Output) {
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let (sent, mut all) = heard(&mut said, words, count);
    if sent {
        signal(child.id(), name);
    }
    said.read_to_string(&mut all).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = all.into_bytes();
    (sent, Output { stderr, ..output })
}
