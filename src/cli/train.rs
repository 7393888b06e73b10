//! `sentiment train`: a recipe and reviews in, a bundle out. Whatever happens, there is a whole bundle or none.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::{Progress, note, say};
use crate::bundle;
use crate::config::usable_cpus;
use crate::engine::session::Runtime;
use crate::recipe::Recipe;
use crate::system;
use crate::train::checkpoint::{Checkpoints, Start};
use crate::train::dataset::{self, DataArg};
use crate::train::fit::{Control, Event, Happened};
use crate::train::report::Table;
use crate::train::run::{Finished, Prepared, Reviews, Trained};
use crate::train::view::Pace;

/// Train a model and publish it as the next version in a folder of models.
///
/// The first version of a model becomes the one that serves; later ones wait for `sentiment models activate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipe: a TOML file.
    recipe: PathBuf,
    /// Reviews: a folder with pos/ and neg/, or .tsv, .csv, .jsonl, also as .gz or .xz; one for each source of the recipe.
    #[arg(long, required = true, num_args = 1.., value_name = "[SOURCE=]PATH")]
    data: Vec<DataArg>,
    /// The folder of models.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Threads; all cores that the process may use unless given. The weights do not depend on it, and a batch keeps at most one
    /// for every 16 of its rows at work.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Seeds weights, dropout and the order of rows, in the place of the recipe's.
    #[arg(long)]
    seed: Option<u64>,
    /// On Ctrl-C publish the best finished epoch without asking.
    #[arg(long)]
    keep_best: bool,
    /// A folder for checkpoints: started again, the same command goes on from the last one and makes the same weights as
    /// if it had never been interrupted. Removed once the model is published.
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Steps from one checkpoint to the next.
    #[arg(
        long,
        value_name = "STEPS",
        default_value = "500",
        requires = "checkpoint"
    )]
    checkpoint_every: NonZeroUsize,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let mut recipe = Recipe::load(&args.recipe)?;
    recipe.fit.seed = args.seed.unwrap_or(recipe.fit.seed);
    // What the end needs is looked for at the start.
    let runtime = Runtime::load()?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    let threads = match args.threads {
        Some(threads) => threads.get(),
        None => usable_cpus(),
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    super::on_interrupt(move || {
        if flag.swap(true, Ordering::SeqCst) {
            note("error: interrupted again; no model was written");
            system::end_at_once(1);
        }
    })?;

    let dataset = dataset::read(&recipe.data, &args.data)?;
    let splits = dataset::split(&recipe.data, &dataset)?;
    let reviews = Reviews {
        dataset: &dataset,
        splits: &splits,
        folder: super::folder_of(&args.recipe),
    };
    let prepared = Prepared::new(recipe, reviews)?;
    drop(dataset);
    say(&prepared.statistics);
    if let Some(read) = prepared.pretrained() {
        say(format_args!(
            "{}: vectors for {} of {} words ({:.1} %)\n",
            read.file,
            read.found,
            read.words,
            100.0 * read.share
        ));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?;
    let checkpoints = args
        .checkpoint
        .map(|dir| Checkpoints::open(&dir, args.checkpoint_every, prepared.origin()))
        .transpose()?;
    let start = match &checkpoints {
        Some(checkpoints) => checkpoints.latest(prepared.start())?,
        None => Start::fresh(prepared.start()),
    };
    say(format_args!(
        "{} parameters, {threads} threads\n",
        start.state.stepper.network.parameters()
    ));
    say_start(&start);
    let mut progress = Progress::new("train");
    let mut pace = Pace::start();
    let mut observe = |event: Event<'_>| {
        match event.happened {
            Happened::Step(p) => progress.at(Some(p.share()), pace.at(p)),
            Happened::Epoch(ended) => progress.note(ended),
        }
        match interrupted.load(Ordering::SeqCst) {
            true => Control::Stop,
            false => Control::Continue,
        }
    };
    let finished =
        pool.install(|| prepared.train(start.state, checkpoints.as_ref(), &mut observe))?;
    progress.clear();
    let (trained, stopped) = match finished {
        Finished::Trained(trained) => (trained, false),
        Finished::Stopped(Some(trained)) if args.keep_best => (trained, true),
        Finished::Stopped(_) if let Some(checkpoints) = &checkpoints => {
            anyhow::bail!("interrupted; {}", how_to_go_on(checkpoints))
        }
        Finished::Stopped(None) => {
            anyhow::bail!("interrupted before the first epoch was finished; nothing was written")
        }
        Finished::Stopped(Some(trained)) => {
            if !ask(&trained)? {
                anyhow::bail!(
                    "interrupted; nothing was written (epoch {} was the best; --keep-best publishes it)",
                    trained.best_epoch
                );
            }
            (trained, true)
        }
    };
    for (name, measured) in [
        ("validation", &trained.metrics.validation),
        ("test", &trained.metrics.test),
    ] {
        if let Some(measured) = measured {
            say(format_args!("{name}\n{}\n", Table(measured)));
        }
    }
    let (draft, proof) = pool.install(|| trained.into_draft(&runtime))?;
    let name = draft.recipe.name.clone();
    let written = bundle::write(&args.out, draft)?;
    say(format_args!(
        "proven in ONNX Runtime on {} rows: largest difference {:.1e}\nwrote {}\n",
        proof.rows,
        proof.worst,
        written.dir.display()
    ));
    if !written.activated {
        say(format_args!(
            "it does not serve yet: sentiment models activate {name}@{}\n",
            written.version
        ));
    }
    match checkpoints {
        Some(checkpoints) if stopped => say(format_args!("{}\n", how_to_go_on(&checkpoints))),
        Some(checkpoints) => checkpoints.remove()?,
        None => {}
    }
    Ok(())
}

fn say_start(start: &Start) {
    for (path, reason) in &start.damaged {
        note(format_args!(
            "warning: checkpoint {} is damaged: {reason}",
            path.display()
        ));
    }
    if let Some(from) = &start.from {
        let state = &start.state;
        say(format_args!(
            "goes on from {}: epoch {}, after step {}\n",
            from.display(),
            state.epoch,
            state.step
        ));
    }
}

fn how_to_go_on(checkpoints: &Checkpoints) -> String {
    format!(
        "the same command goes on from the checkpoint in {}",
        checkpoints.dir().display()
    )
}

/// Asks a person whether the best epoch so far is to be kept; nobody there means no.
fn ask(trained: &Trained) -> anyhow::Result<bool> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(false);
    }
    write!(
        std::io::stderr(),
        "interrupted: publish epoch {}, the best so far? [y/N] ",
        trained.best_epoch
    )?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
