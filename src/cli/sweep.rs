//! `sentiment sweep`: many networks on the same reviews, and the recipe of the best.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Progress, Usage, say};
use crate::config::usable_cpus;
use crate::recipe::{LayerRecipe, Recipe};
use crate::system;
use crate::train::dataset::{self, DataArg};
use crate::train::origin::{Origin, fingerprint};
use crate::train::run::Reviews;
use crate::train::sweep::{
    Axes, Grid, Jobs, Kept, News, Outcome, Planned, Record, Run, Settings, Table, apply, in_words,
    loss_in_words, plot, search,
};

/// Train many variants of a recipe and find the one with the lowest validation loss.
///
/// Nothing is published: the folder gets a line for every run (runs.jsonl), a picture of all of them (runs.svg) and the best
/// recipe (best.toml), which `sentiment train` takes and then makes the very same weights. Test rows are never scored. Started
/// again with the same folder, the same command goes on where it was, in the middle of its runs too, and another grid adds to
/// it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipe that is varied: a TOML file with data.validation.
    recipe: PathBuf,
    /// Reviews, as for `sentiment train`.
    #[arg(long, required = true, num_args = 1.., value_name = "[SOURCE=]PATH")]
    data: Vec<DataArg>,
    /// A parameter with its values, more of them after commas or with another --grid: lr=0.001,0.002 units=32,64.
    ///
    /// A parameter is a path into the recipe, or a short name of one. In a path, layers are named by number, by kind, or
    /// as recurrent: fit.clipnorm, layers.2.units (also layers[2].units), layers.dropout.rate, layers.recurrent.units,
    /// padding.maxlen. Short names: lr (fit.learning_rate), batch_size, epochs, seed (fit), units (of every lstm, gru and
    /// simple_rnn), embedding (its units), maxlen, num_words. With --random, low..high is a range, of whole numbers if both
    /// ends are, and low..high:log one in which every order of magnitude is as likely: lr=1e-4..1e-2:log. What is read and
    /// how it is split (data.*) cannot be varied: losses on different rows cannot be compared.
    #[arg(long, required = true, value_name = "NAME=VALUE,...")]
    grid: Vec<Axes>,
    /// Draw so many combinations at random instead of trying all of them.
    #[arg(long, value_name = "RUNS")]
    random: Option<NonZeroUsize>,
    /// Seeds what --random draws; the same seed with more runs begins with the same ones.
    #[arg(long, value_name = "SEED", default_value = "1", requires = "random")]
    search_seed: u64,
    /// Networks that train side by side [default: as many as threads].
    ///
    /// A small network's step is too little work to share between cores: two networks on a core each are done sooner than
    /// one after the other on two. Fewer jobs than threads give each of them several; the results do not depend on it.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Threads; all cores that the process may use unless given.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Steps of a run from one checkpoint to the next: stopped or killed, it goes on from the last one.
    #[arg(long, value_name = "STEPS", default_value = "500")]
    checkpoint_every: NonZeroUsize,
    /// The folder of this sweep.
    #[arg(long, default_value = "sweep", value_name = "FOLDER")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let recipe = Recipe::load(&args.recipe)?;
    if recipe.data.validation.is_none() {
        anyhow::bail!(
            "runs are compared by their validation loss: the recipe needs data.validation"
        );
    }
    let usage = |error: &dyn std::error::Error| Usage(error.to_string());
    let grid = Grid::new(args.grid).map_err(|error| usage(&error))?;
    let wanted = match args.random {
        Some(count) => grid.draw(count.get(), args.search_seed),
        None => grid.all().map_err(|error| usage(&error))?,
    };
    let wanted = plan(&recipe, wanted)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    super::on_interrupt(move || {
        if flag.swap(true, Ordering::SeqCst) {
            super::note("error: interrupted again");
            system::end_at_once(1);
        }
    })?;

    let dataset = dataset::read(&recipe.data, &args.data)?;
    let splits = dataset::split(&recipe.data, &dataset)?;
    let fingerprints = dataset.sources.iter().map(|source| &*source.fingerprint);
    let origin = Origin::new(&recipe, fingerprint(fingerprints));
    let mut record = Record::open(&args.out, &origin)?;
    let kept = Kept::new(&args.out, args.checkpoint_every);
    let done: Vec<Settings> = record.runs.iter().map(|run| run.settings.clone()).collect();
    let done = plan(&recipe, done)?;
    for run in &done {
        kept.forget(run)?;
    }
    let done: HashSet<String> = done.iter().map(Planned::identity).collect();
    let all = wanted.len();
    let left: Vec<Planned> = wanted
        .into_iter()
        .filter(|planned| !done.contains(&planned.identity()))
        .collect();
    let threads = args.threads.map_or_else(usable_cpus, NonZeroUsize::get);
    let jobs = args.jobs.map_or(threads, NonZeroUsize::get);
    let jobs = jobs.min(left.len()).max(1);
    let jobs = Jobs {
        side_by_side: NonZeroUsize::new(jobs).unwrap_or(NonZeroUsize::MIN),
        threads: NonZeroUsize::new(threads / jobs).unwrap_or(NonZeroUsize::MIN),
    };
    let mut progress = Progress::new("sweep");
    progress.note(format_args!(
        "{all} runs, {} of them done before; {} side by side with {} each",
        all - left.len(),
        jobs.side_by_side,
        plural(jobs.threads.get(), "thread")
    ));
    let mut shares = vec![0.0; left.len()];
    let mut finished = 0;
    let reviews = Reviews {
        dataset: &dataset,
        splits: &splits,
        folder: super::folder_of(&args.recipe),
    };
    let tell = |news: News| -> anyhow::Result<()> {
        match news {
            News::Share { run, share } => {
                shares[run] = share;
                let share = shares.iter().sum::<f64>() / shares.len() as f64;
                let count = shares.len();
                progress.at(Some(share), format_args!("{finished} of {count} runs"));
            }
            News::Resumed {
                settings,
                epoch,
                step,
                damaged,
            } => {
                for (path, reason) in damaged {
                    let path = path.display();
                    progress.note(format_args!("{settings}: {path} is damaged: {reason}"));
                }
                progress.note(format_args!(
                    "{settings}: goes on from epoch {epoch}, after step {step}"
                ));
            }
            News::Done { run, done, kept } => {
                shares[run] = 1.0;
                finished += 1;
                let line = run_line(&done);
                record.add(*done)?;
                record.put("runs.svg", &plot(&record.runs))?;
                kept.remove()?;
                progress.note(line);
            }
        }
        Ok(())
    };
    let count = left.len();
    let searched = search(reviews, left, jobs, (&kept, &stop), tell);
    progress.clear();
    searched?;
    kept.close();

    // Also where all had been done before.
    record.put("runs.svg", &plot(&record.runs))?;
    let table = Table::new(&record.runs);
    let best = match table.best() {
        Some(best) => {
            let best = best_recipe(&recipe, best, super::folder_of(&args.recipe))?;
            Some(record.put("best.toml", &best)?)
        }
        None => None,
    };
    say(table);
    if let Some(path) = best {
        say(format_args!("wrote {}\n", path.display()));
    }
    if finished < count {
        anyhow::bail!(
            "interrupted; {} of {all} runs are done, and the same command goes on with the others",
            all - (count - finished)
        );
    }
    Ok(())
}

/// The recipes of some settings, each once.
fn plan(recipe: &Recipe, wanted: Vec<Settings>) -> anyhow::Result<Vec<Planned>> {
    let mut seen = HashSet::new();
    let mut planned = Vec::new();
    for settings in wanted {
        let recipe = apply(recipe, &settings)?;
        let run = Planned { settings, recipe };
        if seen.insert(run.identity()) {
            planned.push(run);
        }
    }
    Ok(planned)
}

fn run_line(run: &Run) -> String {
    let settings = in_words(&run.settings);
    match &run.result {
        Outcome::Trained {
            epoch,
            val_loss,
            val_accuracy,
        } => format!(
            "{settings}: val_loss {} val_accuracy {val_accuracy:.4} after epoch {epoch}, {:.1} s",
            loss_in_words(*val_loss),
            run.seconds
        ),
        Outcome::Diverged { reason } => format!("{settings}: diverged: {reason}"),
    }
}

/// With vectors where they are, however the recipe next to them names them.
fn best_recipe(recipe: &Recipe, best: &Run, folder: &Path) -> anyhow::Result<String> {
    let mut recipe = apply(recipe, &best.settings)?;
    if let Some(LayerRecipe::Embedding(embedding)) = recipe.layers.first_mut()
        && let Some(file) = &mut embedding.pretrained
    {
        let path = std::path::absolute(folder.join(&*file))?;
        *file = path.display().to_string();
    }
    Ok(format!(
        "# {}: {}\n\n{}",
        recipe.name,
        run_line(best),
        toml::to_string_pretty(&recipe)?
    ))
}

fn plural(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
