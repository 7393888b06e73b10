//! Opening models for commands that score: the flags that say which and how, and what is logged meanwhile.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use crate::bundle::{Bundle, folder};
use crate::catalog::{Catalog, CatalogSettings, Slot};
use crate::config::{self, Device};
use crate::engine::session::Runtime;
use crate::engine::{Engine, EngineSettings};

/// Which models there are and how they compute.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct OpenArgs {
    /// The folder of models.
    #[arg(long, value_name = "DIR", default_value = "models")]
    pub models: PathBuf,
    /// Where the model computes.
    #[arg(long, value_enum, default_value_t)]
    pub device: Device,
    /// Threads that compute [default: the CPUs that this process may use].
    #[arg(long, value_parser = config::threads)]
    pub threads: Option<u16>,
}

impl OpenArgs {
    /// Opens a model: a name, `name@version` or a bundle's folder.
    pub fn open(&self, model: &str) -> anyhow::Result<Engine> {
        let dir = folder::resolve(&self.models, model)?;
        let bundle = Bundle::load(&dir)?;
        let runtime = Runtime::load()?;
        Engine::start(&runtime, Arc::new(bundle), self.settings(), None)
            .with_context(|| format!("cannot use {model}"))
    }

    /// Opens the active version of every model, as the server does; one that cannot be used is said and passed over.
    pub fn catalog(&self, default_model: Option<String>) -> anyhow::Result<Catalog> {
        let settings = CatalogSettings {
            models: self.models.clone(),
            default_model,
            more_come: false,
            engine: self.settings(),
        };
        let catalog = Catalog::load(&Runtime::load()?, &settings, &Arc::default())?;
        let troubles = catalog.troubles();
        let ready = |slot: &Slot| matches!(slot, Slot::Ready(_));
        if !catalog.slots().values().any(ready) {
            anyhow::bail!("no model to predict with: {}", troubles.join("; "));
        }
        for trouble in troubles {
            super::note(format_args!("warning: {trouble}"));
        }
        Ok(catalog)
    }

    fn settings(&self) -> EngineSettings {
        EngineSettings {
            device: self.device,
            threads: self.threads.map_or_else(config::usable_cpus, usize::from),
            max_batch: 64,
            // Bulk work takes no places in the queue.
            queue: 1,
        }
    }
}
