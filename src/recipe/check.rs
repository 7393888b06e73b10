//! What a recipe's types do not say: which values and which layers make a model.

use std::collections::BTreeMap;

use super::{
    Activation, Embedding, LayerRecipe, NAMES, Recipe, RecipeError, Recurrent, valid_name,
};

impl Recipe {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first thing found that cannot work, naming the field.
    pub fn check(&self) -> Result<(), RecipeError> {
        self.check_without_layers()?;
        self.check_layers().map_err(|reason| self.invalid(reason))
    }

    /// The same for a model whose layers are another program's.
    ///
    /// # Errors
    /// The first thing found that cannot work, naming the field.
    pub fn check_without_layers(&self) -> Result<(), RecipeError> {
        let fail = |reason: String| Err(self.invalid(reason));
        if !valid_name(&self.name) {
            return fail(format!("name must be {NAMES}"));
        }
        if self.languages.is_empty() {
            return fail("languages is empty".into());
        }
        for language in self.languages.iter().chain(&self.default_for) {
            if !(2..=3).contains(&language.len())
                || !language.bytes().all(|b| b.is_ascii_lowercase())
            {
                return fail(format!(
                    "language {language:?} is not a primary language code such as \"en\""
                ));
            }
        }
        if let Some(l) = self
            .default_for
            .iter()
            .find(|l| !self.languages.contains(l))
        {
            return fail(format!("default_for {l:?} is not among languages"));
        }
        let mut seen = BTreeMap::new();
        for source in &self.data.source {
            if seen.insert(&source.name, ()).is_some() {
                return fail(format!("data.source {:?} is given twice", source.name));
            }
            if source.label_above.is_some_and(|rating| !rating.is_finite()) {
                return fail(format!(
                    "data.source {:?}: label_above must be a number",
                    source.name
                ));
            }
            if !(source.weight.is_finite() && source.weight > 0.0) {
                return fail(format!(
                    "data.source {:?}: weight must be positive",
                    source.name
                ));
            }
        }
        let only_taught = self.data.source.iter().all(|source| source.train_only);
        for (field, split) in [
            ("validation", &self.data.validation),
            ("test", &self.data.test),
        ] {
            let Some(split) = split else { continue };
            if !(split.fraction > 0.0 && split.fraction < 1.0) {
                return fail(format!("data.{field}.fraction must be over 0 and under 1"));
            }
            if only_taught && !self.data.source.is_empty() {
                return fail(format!(
                    "data.{field} has no rows to take: every data.source is train_only"
                ));
            }
        }
        if self.padding.maxlen == 0 || self.padding.maxlen > 100_000 {
            return fail("padding.maxlen must be 1 to 100000".into());
        }
        if self.padding.value != 0 {
            return fail("padding.value must be 0, the id that no token has".into());
        }
        if self.tokenizer.num_words.is_some_and(|n| n < 2) {
            return fail("tokenizer.num_words must be at least 2".into());
        }
        self.check_fit().map_err(|reason| self.invalid(reason))
    }

    fn invalid(&self, reason: String) -> RecipeError {
        RecipeError::Invalid {
            name: self.name.clone(),
            reason,
        }
    }

    fn check_layers(&self) -> Result<(), String> {
        if self.embedding().is_none() {
            return Err("layers[0] must be an embedding".into());
        }
        let last = self.layers.len() - 1;
        if !matches!(
            self.layers[last],
            LayerRecipe::Dense {
                units: 1,
                activation: Activation::Sigmoid
            }
        ) {
            return Err(format!(
                "layers[{last}], the last, must be dense with units = 1 and activation = \"sigmoid\""
            ));
        }
        let mut over_time = true;
        for (at, layer) in self.layers.iter().enumerate() {
            let err = |what: &str| Err(format!("layers[{at}]: {what}"));
            if let Some(recurrent) = layer.recurrent() {
                check_arithmetic(layer, recurrent).or_else(err)?;
                for (field, rate) in [
                    ("dropout", recurrent.dropout),
                    ("recurrent_dropout", recurrent.recurrent_dropout),
                ] {
                    if !(0.0..1.0).contains(&rate) {
                        return err(&format!("{field} must be at least 0 and under 1"));
                    }
                }
            }
            match *layer {
                LayerRecipe::Embedding(Embedding { units, .. })
                | LayerRecipe::Lstm(Recurrent { units, .. })
                | LayerRecipe::Gru(Recurrent { units, .. })
                | LayerRecipe::SimpleRnn(Recurrent { units, .. })
                | LayerRecipe::Dense { units, .. }
                | LayerRecipe::AttentionPooling { units }
                    if units == 0 || units > 65_536 =>
                {
                    return err("units must be 1 to 65536");
                }
                LayerRecipe::Dropout { rate } | LayerRecipe::SpatialDropout { rate }
                    if !(0.0..1.0).contains(&rate) =>
                {
                    return err("rate must be at least 0 and under 1");
                }
                LayerRecipe::Embedding(_) if at > 0 => {
                    return err("an embedding can only be first");
                }
                LayerRecipe::Embedding(Embedding {
                    pretrained: Some(ref path),
                    ..
                }) if path.is_empty() => {
                    return err("pretrained must be the path of a file of word vectors");
                }
                LayerRecipe::Flatten {} if self.masked() => {
                    return err("flatten needs rows of one length and cannot follow mask_zero");
                }
                LayerRecipe::Lstm(_)
                | LayerRecipe::Gru(_)
                | LayerRecipe::SimpleRnn(_)
                | LayerRecipe::Flatten {}
                | LayerRecipe::SpatialDropout { .. }
                | LayerRecipe::GlobalMaxPooling {}
                | LayerRecipe::GlobalAveragePooling {}
                | LayerRecipe::GlobalMaxAveragePooling {}
                | LayerRecipe::AttentionPooling { .. }
                    if !over_time =>
                {
                    return err(
                        "needs a sequence, and a layer below it has already taken time away",
                    );
                }
                _ => {}
            }
            match layer {
                LayerRecipe::Lstm(recurrent)
                | LayerRecipe::Gru(recurrent)
                | LayerRecipe::SimpleRnn(recurrent) => over_time = recurrent.return_sequences,
                LayerRecipe::Flatten {}
                | LayerRecipe::GlobalMaxPooling {}
                | LayerRecipe::GlobalAveragePooling {}
                | LayerRecipe::GlobalMaxAveragePooling {}
                | LayerRecipe::AttentionPooling { .. } => over_time = false,
                _ => {}
            }
        }
        if over_time {
            return Err("the layers never reduce the sequence to one vector: use an lstm without return_sequences, flatten or a pooling".into());
        }
        Ok(())
    }

    fn check_fit(&self) -> Result<(), String> {
        let fit = &self.fit;
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(format!("fit.{name} must be positive"))
            }
        };
        positive("learning_rate", fit.learning_rate)?;
        positive("epsilon", fit.epsilon)?;
        for (name, beta) in [("beta_1", fit.beta_1), ("beta_2", fit.beta_2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(format!("fit.{name} must be at least 0 and under 1"));
            }
        }
        for (name, clip) in [
            ("clipnorm", fit.clipnorm),
            ("global_clipnorm", fit.global_clipnorm),
            ("clipvalue", fit.clipvalue),
        ] {
            if let Some(clip) = clip {
                positive(name, clip)?;
            }
        }
        if [fit.clipnorm, fit.global_clipnorm, fit.clipvalue]
            .iter()
            .flatten()
            .count()
            > 1
        {
            return Err("fit takes only one of clipnorm, global_clipnorm and clipvalue".into());
        }
        if fit.batch_size == 0 || fit.epochs == 0 {
            return Err("fit.batch_size and fit.epochs must be at least 1".into());
        }
        if let Some(crop) = &fit.crop {
            if !(crop.share > 0.0 && crop.share <= 1.0) {
                return Err("fit.crop.share must be over 0 and at most 1".into());
            }
            if crop.least == 0 {
                return Err("fit.crop.least must be at least 1".into());
            }
            if !self.masked() {
                return Err(
                    "fit.crop needs rows without padding: mask_zero on the embedding".into(),
                );
            }
        }
        if fit.early_stopping.is_some() && self.data.validation.is_none() {
            return Err("fit.early_stopping needs data.validation".into());
        }
        Ok(())
    }
}

/// Options that only some recurrent layers have.
fn check_arithmetic(layer: &LayerRecipe, recurrent: &Recurrent) -> Result<(), &'static str> {
    if recurrent.reset_after.is_some() && !matches!(layer, LayerRecipe::Gru(_)) {
        return Err("only a gru has reset_after");
    }
    if recurrent.recurrent_activation.is_some() && matches!(layer, LayerRecipe::SimpleRnn(_)) {
        return Err("a simple_rnn has no gates and no recurrent_activation");
    }
    if recurrent.go_backwards && (recurrent.return_sequences || recurrent.bidirectional.is_some()) {
        return Err("go_backwards goes with neither return_sequences nor bidirectional");
    }
    Ok(())
}
