//! The models that serve: which are loaded, and which of them a text goes to.
//!
//! A language belongs to the one model whose manifest says `default_for` it; two claimants stop the start. A model that
//! cannot be loaded does not: the others serve, and readiness says why it does not.

mod fetch;
mod follow;
mod language;
mod serving;
mod swap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use crate::bundle::{Bundle, BundleError, Manifest, folder};
use crate::engine::session::{Runtime, SessionError};
use crate::engine::{Engine, EngineError, EngineSettings};
use crate::metrics::Metrics;
use serving::{Serving, claims, language_for, primary_language};

pub use fetch::fetch;
pub use follow::Follower;
pub use language::Script;
pub use swap::{Candidate, SwapError};

/// Why no catalog is made.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The folder of models cannot be read.
    #[error(transparent)]
    Folder(#[from] BundleError),
    /// Two models want the same texts.
    #[error(
        "language {language:?} is claimed by two models, {first:?} and {second:?}: activate versions of which one says default_for it"
    )]
    TwoClaimants {
        /// The language.
        language: String,
        /// One model.
        first: String,
        /// The other.
        second: String,
    },
    /// No model could serve on the device that was asked for.
    #[error(transparent)]
    Device(SessionError),
    /// `--default-model` names no model.
    #[error("--default-model {name:?} is not among the models in {models}", models = models.display())]
    NoDefault {
        /// What it names.
        name: String,
        /// Where it was looked for.
        models: PathBuf,
    },
}

/// Why a text goes to no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No such model, or not in that version.
    #[error("{0}")]
    UnknownModel(String),
    /// No model reads the text.
    #[error("{0}")]
    UnsupportedLanguage(String),
    /// The model is there and does not serve.
    #[error("model {name:?} is not ready: {reason}")]
    NotReady {
        /// The model.
        name: String,
        /// Why not.
        reason: String,
    },
    /// No model is there to serve.
    #[error("no model in {} is active", .0.display())]
    NoModels(PathBuf),
}

/// What a request says of where a text should go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// `naver` or `naver@3`.
    pub model: Option<&'a str>,
    /// `ko`, `ko-KR`, ...
    pub language: Option<&'a str>,
}

/// No name with a version is longer.
const LONGEST_MODEL: usize = 64 + 1 + 20;
/// No language tag that means anything is longer.
const LONGEST_LANGUAGE: usize = 35;

impl Wish<'_> {
    /// What is longer than a name can be is not even repeated in a refusal, of which a request may get a thousand.
    fn check(self) -> Result<(), RouteError> {
        let over = |name: Option<&str>, most: usize| name.is_some_and(|name| name.len() > most);
        if over(self.model, LONGEST_MODEL) {
            let reason = "no model has so long a name".to_owned();
            return Err(RouteError::UnknownModel(reason));
        }
        if over(self.language, LONGEST_LANGUAGE) {
            let reason = "no language has so long a name".to_owned();
            return Err(RouteError::UnsupportedLanguage(reason));
        }
        Ok(())
    }
}

/// Where a text goes.
#[derive(Clone, Debug)]
pub struct Route {
    /// To this engine.
    pub engine: Arc<Engine>,
    /// As a text in this language.
    pub language: String,
}

impl Route {
    /// To a model that was named, as a text in the language asked for, else the one it seems to be in, else the main one.
    ///
    /// # Errors
    /// The model does not read the language asked for.
    pub fn to(engine: Arc<Engine>, text: &str, asked: Option<&str>) -> Result<Self, RouteError> {
        let language = language_for(&engine, text, asked.map(primary_language))?;
        Ok(Self { engine, language })
    }
}

/// What a catalog is made of.
#[derive(Clone, Debug)]
pub struct CatalogSettings {
    /// The folder of models.
    pub models: PathBuf,
    /// The model for texts without letters; none is the first by name.
    pub default_model: Option<String>,
    /// Whether models come from elsewhere, so that one that is not there yet is waited for.
    pub more_come: bool,
    /// How each engine works.
    pub engine: EngineSettings,
}

/// The models that serve. What serves is replaced as a whole, so that every text meets one state or the next.
#[derive(Debug)]
pub struct Catalog {
    runtime: Runtime,
    settings: CatalogSettings,
    metrics: Arc<Metrics>,
    serving: RwLock<Arc<Serving>>,
    /// Held while a new state is made from the one that serves.
    swapping: Mutex<()>,
    /// Why a newer version of a model does not serve, by model.
    refused: Mutex<BTreeMap<String, String>>,
}

/// A model with an active version.
#[derive(Clone, Debug)]
pub enum Slot {
    /// It serves.
    Ready(Arc<Engine>),
    /// It does not.
    Failed(Failure),
}

/// Why a model does not serve.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In words.
    pub reason: String,
    /// The languages that it claims; none where its manifest cannot be read either.
    default_for: Option<Vec<String>>,
}

impl Catalog {
    /// Loads the active version of every model in the folder.
    ///
    /// # Errors
    /// The folder cannot be read, two models claim a language, or the default model is not there.
    pub fn load(
        runtime: &Runtime,
        settings: &CatalogSettings,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, CatalogError> {
        let mut slots = BTreeMap::new();
        for model in folder::list(&settings.models)? {
            let Some(slot) = load(runtime, settings, metrics, &model.name)? else {
                tracing::info!(model = model.name, "no active version, passed over");
                continue;
            };
            if let Slot::Failed(Failure { reason, .. }) = &slot {
                tracing::error!(model = model.name, reason, "a model does not serve");
            }
            slots.insert(model.name, slot);
        }
        let default_model = match &settings.default_model {
            Some(name) if !slots.contains_key(name) && !settings.more_come => {
                return Err(CatalogError::NoDefault {
                    name: name.clone(),
                    models: settings.models.clone(),
                });
            }
            Some(name) => Some(name.clone()),
            None => slots.keys().next().cloned(),
        };
        let serving = Serving {
            by_language: claims(&slots)?,
            slots,
            default_model,
        };
        Ok(Self {
            runtime: runtime.clone(),
            settings: settings.clone(),
            metrics: Arc::clone(metrics),
            serving: RwLock::new(Arc::new(serving)),
            swapping: Mutex::new(()),
            refused: Mutex::default(),
        })
    }

    /// What serves now, and goes on to for whoever holds it.
    fn serving(&self) -> Arc<Serving> {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&serving)
    }

    /// Where a text goes.
    ///
    /// # Errors
    /// Nowhere.
    pub fn route(&self, text: &str, wish: Wish) -> Result<Route, RouteError> {
        wish.check()?;
        let serving = self.serving();
        if serving.slots.is_empty() && wish.model.is_none() {
            return Err(RouteError::NoModels(self.settings.models.clone()));
        }
        serving.route(text, wish)
    }

    /// A model, in a version that must be the active one.
    ///
    /// # Errors
    /// There is no such model, its version is another, or it does not serve.
    pub fn engine(&self, name: &str, version: Option<&str>) -> Result<Arc<Engine>, RouteError> {
        self.serving().find(name, version)
    }

    /// Every model with an active version, by name.
    pub fn slots(&self) -> BTreeMap<String, Slot> {
        self.serving().slots.clone()
    }

    /// One of them.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.serving().slots.get(name).cloned()
    }

    /// What every model computes in.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The folder of models.
    pub fn models(&self) -> &Path {
        &self.settings.models
    }

    /// Why the server is not ready; nothing when it is.
    pub fn troubles(&self) -> Vec<String> {
        let serving = self.serving();
        if serving.slots.is_empty() {
            return vec![RouteError::NoModels(self.settings.models.clone()).to_string()];
        }
        let awaited = serving.default_model.iter();
        let awaited = awaited.filter(|name| !serving.slots.contains_key(*name));
        let names = serving.slots.keys().chain(awaited);
        let errors = names.filter_map(|name| serving.ready(name).err());
        errors.map(|error| error.to_string()).collect()
    }

    /// Why a model does not serve; nothing when it does.
    pub fn trouble(&self, name: &str) -> Option<String> {
        let ready = self.serving().ready(name);
        ready.err().map(|error| error.to_string())
    }
}

/// None where nothing is active.
fn load(
    runtime: &Runtime,
    settings: &CatalogSettings,
    metrics: &Arc<Metrics>,
    name: &str,
) -> Result<Option<Slot>, CatalogError> {
    let version = match folder::active(&settings.models, name) {
        Ok(Some(version)) => version,
        Ok(None) => return Ok(None),
        Err(error) => {
            return Ok(Some(Slot::Failed(Failure {
                reason: error.to_string(),
                default_for: None,
            })));
        }
    };
    let started = Instant::now();
    let dir = settings.models.join(name).join(version.to_string());
    let slot = start(runtime, settings, metrics, (name, &dir));
    Ok(Some(match slot {
        Ok(engine) => {
            tracing::info!(
                model = name,
                %version,
                provider = engine.provider(),
                golden_rows = engine.bundle().golden.len(),
                milliseconds = started.elapsed().as_millis() as u64,
                "model loaded"
            );
            metrics.serves(engine.info());
            Slot::Ready(Arc::new(engine))
        }
        Err(Refusal::Device(error)) => return Err(CatalogError::Device(error)),
        Err(Refusal::Model(reason)) => Slot::Failed(Failure {
            reason,
            default_for: Manifest::read(&dir)
                .ok()
                .map(|manifest| manifest.default_for),
        }),
    }))
}

/// Why a model does not serve.
enum Refusal {
    /// It is the model's own fault.
    Model(String),
    /// No other would either.
    Device(SessionError),
}

fn start(
    runtime: &Runtime,
    settings: &CatalogSettings,
    metrics: &Arc<Metrics>,
    (name, dir): (&str, &Path),
) -> Result<Engine, Refusal> {
    let bundle = Bundle::load(dir).map_err(|error| Refusal::Model(error.to_string()))?;
    let Manifest {
        name: found,
        version,
        ..
    } = &bundle.manifest;
    if found != name || !dir.ends_with(version.to_string()) {
        return Err(Refusal::Model(format!(
            "{} holds version {version} of model {found:?}",
            dir.display()
        )));
    }
    Engine::start(
        runtime,
        Arc::new(bundle),
        settings.engine,
        Some(Arc::clone(metrics)),
    )
    .map_err(|error| match error {
        EngineError::Session(error @ SessionError::NoCuda(_)) => Refusal::Device(error),
        error => Refusal::Model(error.to_string()),
    })
}
