//! `sentiment data compose`: labelled sentences from templates, for a source that is only learned from.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;

use super::super::Output;
use crate::train::dataset::Templates;

#[derive(Debug, clap::Args)]
pub(super) struct ComposeArgs {
    /// The templates: lines `name: choice | choice`, `+ a {name} sentence` and `- another`.
    #[arg(value_name = "TEMPLATES")]
    templates: PathBuf,
    /// The number of sentences, no two the same, positive and negative in turn.
    #[arg(long, default_value = "6000")]
    count: usize,
    /// Seeds what is drawn.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Where they go, a label, a tab and a sentence a line; - is standard output.
    #[arg(long, value_name = "FILE.tsv", default_value = "-")]
    out: PathBuf,
}

pub(super) fn run(args: &ComposeArgs) -> anyhow::Result<()> {
    let path = args.templates.display();
    let text =
        fs::read_to_string(&args.templates).with_context(|| format!("cannot read {path}"))?;
    let templates = Templates::parse(&text).with_context(|| path.to_string())?;
    let sentences = templates
        .compose(args.count, args.seed)
        .with_context(|| path.to_string())?;
    let mut out = Output::open(&args.out)?;
    for (label, sentence) in sentences {
        writeln!(out, "{}\t{sentence}", label.as_str())?;
    }
    out.finish()
}
