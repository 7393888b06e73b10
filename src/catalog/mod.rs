//! The models that serve: which are loaded, and which of them a text goes to.
//!
//! A language belongs to the one model whose manifest says `default_for` it; two claimants stop the start. A model that
//! cannot be loaded does not: the others serve, and readiness says why it does not.

mod language;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::bundle::{Bundle, BundleError, Manifest, Version, folder};
use crate::engine::session::{Runtime, SessionError};
use crate::engine::{Engine, EngineError, EngineSettings};
use crate::metrics::Metrics;

pub use language::Script;

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
    /// How each engine works.
    pub engine: EngineSettings,
}

/// The models that serve.
#[derive(Debug)]
pub struct Catalog {
    models: PathBuf,
    slots: BTreeMap<String, Slot>,
    by_language: BTreeMap<String, String>,
    default_model: Option<String>,
}

/// A model with an active version.
#[derive(Debug)]
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
            Some(name) if !slots.contains_key(name) => {
                return Err(CatalogError::NoDefault {
                    name: name.clone(),
                    models: settings.models.clone(),
                });
            }
            Some(name) => Some(name.clone()),
            None => slots.keys().next().cloned(),
        };
        Ok(Self {
            by_language: claims(&slots)?,
            models: settings.models.clone(),
            slots,
            default_model,
        })
    }

    /// Where a text goes.
    ///
    /// # Errors
    /// Nowhere.
    pub fn route(&self, text: &str, wish: Wish) -> Result<Route, RouteError> {
        if let Some(model) = wish.model {
            return Route::to(self.find(model)?, text, wish.language);
        }
        let Some(default_model) = &self.default_model else {
            return Err(RouteError::NoModels(self.models.clone()));
        };
        let asked = wish.language.map(primary_language);
        let script = match &asked {
            Some(_) => None,
            None => Script::of(text),
        };
        let language = match (asked, script) {
            (Some(language), _) => language,
            (None, Some(Script::Hangul)) => "ko".to_owned(),
            (None, Some(Script::Latin)) => "en".to_owned(),
            (None, Some(Script::Other)) => {
                return Err(RouteError::UnsupportedLanguage(
                    "the text is in neither Korean nor Latin letters: name its language or a model"
                        .into(),
                ));
            }
            (None, None) => {
                let engine = self.ready(default_model)?;
                let language = main_language(&engine);
                return Ok(Route { engine, language });
            }
        };
        let Some(name) = self.by_language.get(&language) else {
            return Err(self.unclaimed(&language));
        };
        let engine = self.ready(name)?;
        Ok(Route { engine, language })
    }

    /// Every model with an active version, by name.
    pub fn slots(&self) -> impl Iterator<Item = (&str, &Slot)> {
        self.slots.iter().map(|(name, slot)| (name.as_str(), slot))
    }

    /// One of them.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.get(name)
    }

    /// The folder of models.
    pub fn models(&self) -> &Path {
        &self.models
    }

    /// Why the server is not ready; nothing when it is.
    pub fn troubles(&self) -> Vec<String> {
        if self.slots.is_empty() {
            return vec![RouteError::NoModels(self.models.clone()).to_string()];
        }
        let names = self.slots.keys();
        names.filter_map(|name| self.trouble(name)).collect()
    }

    /// Why a model does not serve; nothing when it does.
    pub fn trouble(&self, name: &str) -> Option<String> {
        self.ready(name).err().map(|error| error.to_string())
    }

    /// A model whose manifest cannot be read may be the one that claims the language: then trying again later is the right
    /// advice.
    fn unclaimed(&self, language: &str) -> RouteError {
        let failed = self.slots.iter().find_map(|(name, slot)| match slot {
            Slot::Failed(failure) if failure.default_for.is_none() => self.ready(name).err(),
            Slot::Failed(_) | Slot::Ready(_) => None,
        });
        failed.unwrap_or_else(|| {
            RouteError::UnsupportedLanguage(format!("no model is the default for {language:?}"))
        })
    }

    fn find(&self, model: &str) -> Result<Arc<Engine>, RouteError> {
        let (name, version) = match model.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (model, None),
        };
        if !self.slots.contains_key(name) {
            return Err(RouteError::UnknownModel(format!(
                "no model {name:?} is active"
            )));
        }
        let engine = self.ready(name)?;
        let active = engine.bundle().manifest.version;
        match version {
            Some(version) if version.parse::<Version>().ok() != Some(active) => {
                Err(RouteError::UnknownModel(format!(
                    "version {version:?} of model {name:?} is not active: version {active} is"
                )))
            }
            _ => Ok(engine),
        }
    }

    fn ready(&self, name: &str) -> Result<Arc<Engine>, RouteError> {
        let reason = match self.slots.get(name) {
            Some(Slot::Ready(engine)) if engine.alive() => return Ok(Arc::clone(engine)),
            Some(Slot::Ready(_)) => "its batch threads have ended",
            Some(Slot::Failed(failure)) => &failure.reason,
            None => "it is not loaded",
        };
        Err(RouteError::NotReady {
            name: name.to_owned(),
            reason: reason.to_owned(),
        })
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
                milliseconds = started.elapsed().as_millis(),
                "model loaded"
            );
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

fn claims(slots: &BTreeMap<String, Slot>) -> Result<BTreeMap<String, String>, CatalogError> {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for (name, slot) in slots {
        let default_for = match slot {
            Slot::Ready(engine) => &engine.bundle().manifest.default_for[..],
            Slot::Failed(failure) => failure.default_for.as_deref().unwrap_or_default(),
        };
        for language in default_for {
            if let Some(first) = owners.insert(language.clone(), name.clone()) {
                return Err(CatalogError::TwoClaimants {
                    language: language.clone(),
                    first,
                    second: name.clone(),
                });
            }
        }
    }
    Ok(owners)
}

/// The language of a text whose model was named: the one asked for, else the one it seems to be in, else the main one.
fn language_for(engine: &Engine, text: &str, asked: Option<String>) -> Result<String, RouteError> {
    let manifest = &engine.bundle().manifest;
    if let Some(language) = asked {
        return if manifest.languages.contains(&language) {
            Ok(language)
        } else {
            Err(RouteError::UnsupportedLanguage(format!(
                "model {:?} does not read {language:?}",
                manifest.name
            )))
        };
    }
    let seems = match Script::of(text) {
        Some(Script::Hangul) => "ko",
        Some(Script::Latin) => "en",
        Some(Script::Other) | None => "",
    };
    Ok(manifest
        .languages
        .iter()
        .find(|language| *language == seems)
        .cloned()
        .unwrap_or_else(|| main_language(engine)))
}

fn main_language(engine: &Engine) -> String {
    let languages = &engine.bundle().manifest.languages;
    languages.first().cloned().unwrap_or_default()
}

/// `ko-KR` is `ko`.
fn primary_language(tag: &str) -> String {
    let primary = tag.split(['-', '_']).next().unwrap_or(tag);
    primary.trim().to_ascii_lowercase()
}
