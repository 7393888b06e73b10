//! What serves at one moment: the models, and which of them a text goes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{CatalogError, Route, RouteError, Script, Slot, Wish};
use crate::bundle::Version;
use crate::engine::Engine;

/// One state of a catalog.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub slots: BTreeMap<String, Slot>,
    pub by_language: BTreeMap<String, String>,
    pub default_model: Option<String>,
}

impl Serving {
    pub fn route(&self, text: &str, wish: Wish) -> Result<Route, RouteError> {
        if let Some(model) = wish.model {
            let (name, version) = match model.split_once('@') {
                Some((name, version)) => (name, Some(version)),
                None => (model, None),
            };
            return Route::to(self.find(name, version)?, text, wish.language);
        }
        let default_model = self.default_model.as_deref().unwrap_or_default();
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

    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Engine>, RouteError> {
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

    pub fn ready(&self, name: &str) -> Result<Arc<Engine>, RouteError> {
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

/// The model of each language that one claims.
///
/// # Errors
/// Two claim one.
pub(super) fn claims(
    slots: &BTreeMap<String, Slot>,
) -> Result<BTreeMap<String, String>, CatalogError> {
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
pub(super) fn language_for(
    engine: &Engine,
    text: &str,
    asked: Option<String>,
) -> Result<String, RouteError> {
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
pub(super) fn primary_language(tag: &str) -> String {
    let primary = tag.split(['-', '_']).next().unwrap_or(tag);
    primary.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::doomed::doomed;

    #[test]
    fn a_model_whose_last_session_is_gone_is_not_ready() {
        let engine = Arc::new(doomed());
        let serving = Serving {
            slots: BTreeMap::from([("m".to_owned(), Slot::Ready(Arc::clone(&engine)))]),
            by_language: BTreeMap::from([("ko".to_owned(), "m".to_owned())]),
            default_model: None,
        };
        assert!(serving.ready("m").is_ok());
        engine.predict_bulk(&["no golden row at all"]);
        while engine.alive() {
            std::thread::yield_now();
        }
        let reason = "its batch threads have ended".to_owned();
        let name = "m".to_owned();
        let refused = serving.route("배송이 빨라요", Wish::default()).err();
        assert_eq!(refused, Some(RouteError::NotReady { name, reason }));
    }
}
