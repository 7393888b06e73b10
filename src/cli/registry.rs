//! The registry of a database, and the model storage where its versions lie, as commands ask them.

use std::path::Path;

use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::bundle::{Manifest, Version};
use crate::config::{self, Database, ModelStore};
use crate::recipe::valid_name;
use crate::storage::Storage;
use crate::store::{ActiveVersion, FeedbackFilter, Registered, Store};
use crate::worker::Aside;

/// Both, with the thread that asks them.
pub(super) struct Registry {
    threads: Runtime,
    store: Store,
    storage: Option<Storage>,
}

impl Registry {
    /// Asks nothing yet.
    pub fn open(database: &Database, place: Option<&ModelStore>) -> anyhow::Result<Self> {
        let threads = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let store = {
            let _within = threads.enter();
            Store::existing(database.url())?
        };
        let storage = place.map(|place| Storage::open(place.url(), &config::cloud_options()));
        Ok(Self {
            threads,
            store,
            storage: storage.transpose()?,
        })
    }

    /// Every complete version.
    pub fn versions(&self) -> anyhow::Result<Vec<Registered>> {
        Ok(self.threads.block_on(self.store.registered())?)
    }

    /// The manifest of `NAME` (the version that the registry lets serve) or `NAME@VERSION`; none where the registry does not
    /// know it or does not place it in the model storage, and the folder of models is to be asked.
    pub fn manifest(&self, models: &Path, model: &str) -> anyhow::Result<Option<Manifest>> {
        let (name, version) = match model.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (model, None),
        };
        if !valid_name(name) {
            return Ok(None);
        }
        let version: Option<Version> = version.map(str::parse).transpose()?;
        let registered = self.threads.block_on(async {
            match version {
                Some(version) => {
                    let number = i64::from(version.number());
                    self.store.version(name, number).await
                }
                None => {
                    let active = self.store.active().await?;
                    Ok(active.into_iter().find(|active| active.name == name))
                }
            }
        })?;
        let Some(registered) = registered else {
            return Ok(None);
        };
        let dir = models.join(name).join(registered.version.to_string());
        if dir.is_dir() {
            return Ok(Some(Manifest::read(&dir)?));
        }
        let location = registered.location.with_context(|| {
            let version = registered.version;
            format!(
                "version {version} of model {name:?} is not in {}",
                models.display()
            )
        })?;
        let storage = self.storage.as_ref().with_context(|| {
            let version = registered.version;
            format!(
                "version {version} of model {name:?} is in the model storage: give --model-store"
            )
        })?;
        Ok(Some(self.threads.block_on(storage.manifest(&location))?))
    }

    /// Puts aside what is kept of feedback.
    pub fn feedback(&self, filter: &FeedbackFilter, aside: &mut Aside) -> anyhow::Result<()> {
        let mut last = None;
        loop {
            let page = self.store.feedback(filter, last.as_ref());
            let page = self.threads.block_on(page)?;
            aside.add(&page).context("feedback cannot be put aside")?;
            last = page.into_iter().last();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    /// Lets a version serve. One that no job has made must be `here`, a folder, and is stored where there is a storage.
    pub fn activate(
        &self,
        name: &str,
        version: Version,
        here: Option<&Path>,
    ) -> anyhow::Result<()> {
        let number = i64::from(version.number());
        self.threads.block_on(async {
            let registered = self.store.version(name, number).await?;
            let wanted = match (registered, here) {
                (Some(registered), _) if registered.location.is_some() => registered,
                (_, Some(dir)) => ActiveVersion {
                    name: name.to_owned(),
                    version: number,
                    digest: Manifest::read(dir)?.digest,
                    location: match &self.storage {
                        Some(storage) => Some(storage.store(dir).await?),
                        None => None,
                    },
                },
                (Some(_), None) => {
                    anyhow::bail!("it is registered, and neither here nor in the model storage")
                }
                (None, None) => {
                    anyhow::bail!(
                        "model {name:?} has no version {version}, here or in the registry"
                    )
                }
            };
            self.store.activate(&wanted).await?;
            self.store.close().await;
            Ok(())
        })
    }
}
