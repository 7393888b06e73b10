//! The other way: an imported network as a file of Keras, and that file imported again.

use std::fs;
use std::io::stdout;
use std::path::Path;

use sentiment::bundle::{self, Bundle};
use sentiment::engine::session::Runtime;
use sentiment::import::{KerasFormat, import, keras_file, own_network};
use sentiment::recipe::{Activation, LayerRecipe};

use super::folder::{Predictions, each_file, folders};
use super::{imported, request};

/// Puts a sigmoid in the place of a hard one, which no file can say for both versions of Keras. Says whether there was one.
fn with_sigmoid(recipe: &mut LayerRecipe) -> bool {
    match recipe {
        LayerRecipe::Lstm(recurrent) | LayerRecipe::Gru(recurrent) => {
            let gates = recurrent.recurrent_activation.as_ref();
            let hard = gates.is_some_and(|gates| gates.straight().is_some());
            if hard {
                recurrent.recurrent_activation = None;
            }
            hard
        }
        LayerRecipe::Dense { activation, .. } if activation.straight().is_some() => {
            *activation = Activation::Sigmoid;
            true
        }
        _ => false,
    }
}

#[test]
fn keras_exports_go_back_to_keras_files_with_every_weight() {
    each_file(
        &folders(),
        &["keras"],
        &mut stdout(),
        |file, predictions| {
            goes_back(file, predictions);
            "written and read again, every weight as before".to_owned()
        },
    )
    .assert_none_failed();
}

fn goes_back(file: &Path, predictions: &Predictions) {
    let room = tempfile::tempdir().unwrap();
    let mut request = request(predictions.maxlen());
    let first = imported(file, room.path(), &mut request);
    let written = bundle::write(room.path(), first.draft).unwrap();
    let bundle = Bundle::load(&written.dir).unwrap();
    let mut network = own_network(&bundle).unwrap();
    let layers = network.layers.iter_mut();
    let other_meanings = layers.fold(false, |found, layer| {
        with_sigmoid(&mut layer.recipe) | found
    });
    if other_meanings {
        let refused = keras_file(&own_network(&bundle).unwrap(), KerasFormat::Hdf5);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("hard_sigmoid"), "{refused}");
    }
    for (name, format) in [
        ("back.keras", KerasFormat::Archive),
        ("back.h5", KerasFormat::Hdf5),
    ] {
        let tokenizer = match file.with_file_name("tokenizer.json") {
            tokenizer if tokenizer.exists() => tokenizer,
            _ => room.path().join("ranks.json"),
        };
        let back = room.path().join(name);
        fs::write(&back, keras_file(&network, format).unwrap()).unwrap();
        let runtime = Runtime::load().unwrap();
        let again = import(&runtime, (&back, &tokenizer), &request).unwrap();
        assert_eq!(again.draft.trim, bundle.manifest.trim, "{name}");
        let path = room.path().join(format!("{name}.models"));
        let written = bundle::write(&path, again.draft).unwrap();
        let again = own_network(&Bundle::load(&written.dir).unwrap()).unwrap();
        for (one, other) in network.layers.iter().zip(&again.layers) {
            assert_eq!(
                (&one.recipe, &one.weights),
                (&other.recipe, &other.weights),
                "{name}"
            );
        }
        assert_eq!(network.layers.len(), again.layers.len());
    }
}
