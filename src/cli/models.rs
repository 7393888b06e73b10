//! `sentiment models`: what is in the folder of models, and which version serves.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::Usage;
use super::summary::Summary;
use super::vectors::{Asked, write_similar};
use crate::bundle::{self, Bundle, Manifest, SplitMetrics, folder};
use crate::config::Database;
use crate::import::word_vectors;
use crate::recipe::valid_name;
use crate::store::{ActiveVersion, Store, StoreError};

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
    /// The folder of models.
    #[arg(long, global = true, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// Database whose registry says which versions serve: sqlite://PATH or postgres://...; the folder says so without one.
    #[arg(long, global = true, value_name = "URL")]
    database: Option<Database>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List every model and version.
    List,
    /// Show a version's network, data and measurements.
    Show {
        /// A name, name@version, or a bundle's folder.
        #[arg(value_name = "MODEL")]
        model: String,
    },
    /// The words that a model reads most alike.
    Similar {
        /// A name, name@version, or a bundle's folder.
        #[arg(value_name = "MODEL")]
        model: String,
        /// Words to be like.
        #[arg(value_name = "WORD", required = true)]
        words: Vec<String>,
        #[command(flatten)]
        asked: Asked,
    },
    /// Make a version the one that serves.
    Activate {
        /// A name and a version.
        #[arg(value_name = "NAME@VERSION")]
        model: String,
    },
}

pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match args.action {
        Action::List => {
            let registry = args
                .database
                .map(|database| active(&database))
                .transpose()?;
            list(&args.models, registry.as_deref(), &mut out)?;
        }
        Action::Show { model } => show(&args.models, &model, &mut out)?,
        Action::Similar {
            model,
            words,
            asked,
        } => {
            let bundle = Bundle::load(&folder::resolve(&args.models, &model)?)?;
            let answers = asked.ask(&word_vectors(&bundle)?, &words)?;
            write_similar(&mut out, &answers, false)?;
        }
        Action::Activate { model } => {
            activate(&args.models, &model, args.database.as_ref(), &mut out)?;
        }
    }
    Ok(out.flush()?)
}

/// What the registry says.
fn active(database: &Database) -> anyhow::Result<Vec<ActiveVersion>> {
    with_store(database, async |store| store.active().await)
}

fn with_store<T>(
    database: &Database,
    work: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
) -> anyhow::Result<T> {
    let threads = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    threads.block_on(async {
        let store = Store::new(database.url())?;
        let done = work(&store).await?;
        store.close().await;
        Ok(done)
    })
}

fn list(
    models: &Path,
    registry: Option<&[ActiveVersion]>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut table = vec![
        [
            "MODEL",
            "ACTIVE",
            "LANGUAGES",
            "PARAMETERS",
            "ACCURACY",
            "CREATED",
        ]
        .map(str::to_owned),
    ];
    for found in folder::list(models)? {
        let active = folder::active(models, &found.name);
        for version in found.versions {
            let dir = models.join(&found.name).join(version.to_string());
            let name = format!("{}@{version}", found.name);
            let registered = registry
                .into_iter()
                .flatten()
                .find(|active| active.name == found.name);
            let serves = match (registered, &active) {
                (Some(registered), _) => registered.version == i64::from(version.number()),
                (None, Ok(active)) => *active == Some(version),
                (None, Err(_)) => false,
            };
            let mark = if serves { "*" } else { "" };
            table.push(match Manifest::read(&dir) {
                Ok(manifest) => [
                    name,
                    mark.to_owned(),
                    manifest.languages.join(","),
                    grouped(manifest.parameters),
                    accuracy(&manifest),
                    manifest.created,
                ],
                Err(error) => {
                    let none = || "-".to_owned();
                    [
                        name,
                        mark.to_owned(),
                        none(),
                        none(),
                        none(),
                        error.to_string(),
                    ]
                }
            });
        }
        if let Err(error) = active {
            eprintln!("warning: {error}");
        }
    }
    write_table(out, &table, &[3, 4])
}

/// On the rows scored once, else on those that chose the epoch.
fn accuracy(manifest: &Manifest) -> String {
    let metrics = &manifest.metrics;
    match metrics.test.as_ref().or(metrics.validation.as_ref()) {
        Some(split) => format!("{:.2}%", 100.0 * split.all.accuracy),
        None => "-".to_owned(),
    }
}

fn show(models: &Path, model: &str, out: &mut impl Write) -> anyhow::Result<()> {
    let dir = folder::resolve(models, model)?;
    let manifest = Manifest::read(&dir)?;
    let summary = Summary {
        name: &manifest.name,
        layers: &manifest.layers,
    };
    write!(out, "{summary}")?;
    writeln!(out, "version      {}", manifest.version)?;
    writeln!(out, "languages    {}", manifest.languages.join(", "))?;
    if !manifest.default_for.is_empty() {
        writeln!(out, "default for  {}", manifest.default_for.join(", "))?;
    }
    writeln!(
        out,
        "created      {} by sentiment {}",
        manifest.created, manifest.program
    )?;
    writeln!(
        out,
        "rows         at most {} tokens, {} ids",
        manifest.maxlen,
        grouped(manifest.rows as u64)
    )?;
    writeln!(out, "temperature  {:.4}", manifest.calibration.temperature)?;
    let training = &manifest.training;
    for source in &training.sources {
        writeln!(
            out,
            "source       {}: {} reviews, {} positive, {} negative",
            source.name,
            grouped(source.rows),
            grouped(source.positive),
            grouped(source.negative)
        )?;
    }
    if let Some(read) = &training.pretrained {
        writeln!(
            out,
            "vectors      {}: {} of {} words",
            read.file,
            grouped(read.found),
            grouped(read.words)
        )?;
    }
    if let Some(file) = &training.imported {
        writeln!(out, "imported     {} of {}", file.file, file.producer)?;
        writeln!(out, "             SHA-256 {}", file.sha256)?;
    }
    writeln!(
        out,
        "training     {} rows, {} of {} epochs, {:.0} s",
        grouped(training.train_rows),
        training.best_epoch,
        training.epochs,
        training.seconds
    )?;
    for (name, split) in [
        ("validation", &manifest.metrics.validation),
        ("test", &manifest.metrics.test),
    ] {
        if let Some(split) = split {
            write_metrics(out, name, split)?;
        }
    }
    if let Some(card) = &manifest.card {
        writeln!(out, "\n{}", card.trim())?;
    }
    Ok(())
}

fn write_metrics(out: &mut impl Write, name: &str, split: &SplitMetrics) -> io::Result<()> {
    let one = [("all", &split.all)];
    let by_source = split.sources.iter().map(|(name, m)| (name.as_str(), m));
    for (source, measured) in one.into_iter().chain(by_source) {
        let auc = measured
            .auc
            .map_or("-".to_owned(), |auc| format!("{auc:.4}"));
        writeln!(
            out,
            "{name:<12} {source}: {} rows, accuracy {:.2}%, auc {auc}, loss {:.4}, ece {:.4}",
            grouped(measured.rows),
            100.0 * measured.accuracy,
            measured.loss,
            measured.ece
        )?;
    }
    Ok(())
}

fn activate(
    models: &Path,
    model: &str,
    database: Option<&Database>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let usage = || Usage(format!("{model:?} is no NAME@VERSION"));
    let (name, version) = model.split_once('@').ok_or_else(usage)?;
    if !valid_name(name) {
        return Err(usage().into());
    }
    let version: bundle::Version = version.parse().map_err(|_| usage())?;
    let dir = models.join(name).join(version.to_string());
    if dir.is_dir() {
        let manifest = Manifest::read(&dir).with_context(|| format!("{model} is not activated"))?;
        if let Some(database) = database {
            let active = ActiveVersion {
                name: name.to_owned(),
                version: i64::from(version.number()),
                digest: manifest.digest,
                location: None,
            };
            with_store(database, async |store| store.activate(&active).await)?;
        }
    }
    folder::activate(models, name, version)?;
    writeln!(out, "{name}@{version} serves")?;
    Ok(())
}

fn write_table<const N: usize>(
    out: &mut impl Write,
    rows: &[[String; N]],
    right: &[usize],
) -> anyhow::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            line += &if right.contains(&column) {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:width$}  ")
            };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
