//! `sentiment models`: what is in the folder of models, and which version serves.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Subcommand;

use super::Usage;
use super::registry::Registry;
use super::summary::Summary;
use super::vectors::{Asked, Format, write_similar};
use crate::bundle::clock::rfc3339;
use crate::bundle::{Bundle, Manifest, SplitMetrics, Version, folder};
use crate::config::{Database, Device, ModelStore};
use crate::engine::session::Runtime;
use crate::engine::{Engine, EngineSettings};
use crate::import::word_vectors;
use crate::recipe::valid_name;
use crate::store::Registered;
use crate::train::export::layer_trims;

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
    /// Model storage where the registry's versions lie: s3://BUCKET/PREFIX, gs://, az:// or file:///FOLDER.
    #[arg(long, global = true, value_name = "URL", requires = "database")]
    model_store: Option<ModelStore>,
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
        /// How answers are printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
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
    let registry = args.database.as_ref();
    let registry = registry.map(|database| Registry::open(database, args.model_store.as_ref()));
    let registry = registry.transpose()?;
    match args.action {
        Action::List => list(&args.models, registry.as_ref(), &mut out)?,
        Action::Show { model } => {
            let stored = match &registry {
                Some(registry) => registry.manifest(&args.models, &model)?,
                None => None,
            };
            let manifest = match stored {
                Some(manifest) => manifest,
                None => Manifest::read(&folder::resolve(&args.models, &model)?)?,
            };
            show(&manifest, &mut out)?;
        }
        Action::Similar {
            model,
            words,
            asked,
            format,
        } => {
            let bundle = Bundle::load(&folder::resolve(&args.models, &model)?)?;
            let answers = asked.ask(&word_vectors(&bundle)?, &words)?;
            write_similar(&mut out, &answers, format)?;
        }
        Action::Activate { model } => {
            activate(&args.models, &model, registry.as_ref(), &mut out)?;
        }
    }
    Ok(out.flush()?)
}

fn list(models: &Path, registry: Option<&Registry>, out: &mut impl Write) -> anyhow::Result<()> {
    let registered = registry.map(Registry::versions).transpose()?;
    let registered = registered.unwrap_or_default();
    let mut here = BTreeSet::new();
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
    // Who has only the registry has no folder.
    let found = match registry {
        Some(_) if !models.is_dir() => Vec::new(),
        _ => folder::list(models)?,
    };
    for found in found {
        let active = folder::active(models, &found.name);
        for version in found.versions {
            let dir = models.join(&found.name).join(version.to_string());
            let name = format!("{}@{version}", found.name);
            let number = i64::from(version.number());
            here.insert((found.name.clone(), number));
            let mut known = registered.iter().filter(|known| known.name == found.name);
            let chosen = known.find(|known| known.active);
            let serves = match (chosen, &active) {
                (Some(chosen), _) => chosen.version == number,
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
            super::note(format_args!("warning: {error}"));
        }
    }
    let elsewhere = |known: &&Registered| !here.contains(&(known.name.clone(), known.version));
    for known in registered.iter().filter(elsewhere) {
        let none = || "-".to_owned();
        table.push([
            format!("{}@{}", known.name, known.version),
            if known.active { "*" } else { "" }.to_owned(),
            none(),
            none(),
            none(),
            rfc3339(UNIX_EPOCH + Duration::from_millis(known.created_ms.unsigned_abs())),
        ]);
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

fn show(manifest: &Manifest, out: &mut impl Write) -> anyhow::Result<()> {
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
    let trims = layer_trims(&manifest.recipe.layers, manifest.recipe.padding.padding);
    let each = manifest.layers.iter().zip(trims);
    let each: Vec<String> = each
        .map(|(layer, trim)| format!("{} {trim}", layer.name))
        .collect();
    match each.is_empty() {
        true => writeln!(out, "trimmed      {}", manifest.trim)?,
        false => writeln!(out, "trimmed      {}: {}", manifest.trim, each.join(", "))?,
    }
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
    registry: Option<&Registry>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let usage = || Usage(format!("{model:?} is no NAME@VERSION"));
    let (name, version) = model.split_once('@').ok_or_else(usage)?;
    if !valid_name(name) {
        return Err(usage().into());
    }
    let version: Version = version.parse().map_err(|_| usage())?;
    let dir = models.join(name).join(version.to_string());
    let here = dir.is_dir().then_some(dir.as_path());
    let activated = || {
        if here.is_some() {
            prove(models, name, version)?;
        }
        match registry {
            Some(registry) => registry.activate(name, version, here),
            None => Ok(()),
        }
    };
    activated().with_context(|| format!("{model} is not activated"))?;
    // Servers on other machines need no copy here.
    if registry.is_none() || here.is_some() {
        folder::activate(models, name, version)?;
    }
    writeln!(out, "{name}@{version} serves")?;
    Ok(())
}

/// Whether it would serve: every file is what its manifest says, and the golden rows have their answers.
fn prove(models: &Path, name: &str, version: Version) -> anyhow::Result<()> {
    let bundle = folder::open(models, name, version)?;
    let settings = EngineSettings {
        device: Device::Cpu,
        threads: 1,
        max_batch: 1,
        queue: 1,
    };
    Engine::start(&Runtime::load()?, Arc::new(bundle), settings, None)?;
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
