//! Where a file keeps a layer's weights: by name in `.h5`, by number in `.keras`.

use ndarray::ArrayD;

use super::config::Described;
use crate::import::hdf5::Hdf5;

/// The two layouts.
pub(super) enum Weights {
    /// `model_weights/<layer>` with the attribute `weight_names`; Keras 2 and 3.
    Named(Hdf5),
    /// `<root>/<layer>/vars/0`, the wrapped layers and cells in groups inside of it.
    Numbered(Hdf5),
}

/// Groups inside of a layer's, in the order of `get_weights()`.
const PARTS: [&str; 5] = ["vars", "cell", "forward_layer", "backward_layer", "layer"];

/// Groups stand inside of each other no deeper: a wrapper's direction and its cell.
const MOST_DEPTH: usize = 3;

/// Where `.keras` keeps layers: Keras 3, and Keras 2.15 before it.
const ROOTS: [&str; 3] = [
    "layers",
    "_layer_checkpoint_dependencies",
    "_self_tracked_trackables",
];

impl Weights {
    /// A layer's weights in the order of `get_weights()`; none where the file has none for it.
    ///
    /// # Errors
    /// They are damaged.
    pub fn of(&self, layer: &Described) -> Result<Vec<ArrayD<f32>>, String> {
        match self {
            Self::Named(file) => {
                if !file.groups("model_weights").contains(&layer.name) {
                    return Ok(Vec::new());
                }
                let group = format!("model_weights/{}", layer.name);
                let names = file.texts(&group, "weight_names")?.unwrap_or_default();
                let paths = names.iter().map(|name| format!("{group}/{name}"));
                paths.map(|path| file.array(&path)).collect()
            }
            Self::Numbered(file) => {
                let mut weights = Vec::new();
                if let Some(group) = numbered_group(file, layer)? {
                    collect(file, &group, MOST_DEPTH, &mut weights)?;
                }
                Ok(weights)
            }
        }
    }
}

/// The group of a layer: Keras says the layer's name beside its weights, else it is known by its number.
fn numbered_group(file: &Hdf5, layer: &Described) -> Result<Option<String>, String> {
    for root in ROOTS {
        let groups = file.groups(root);
        for group in &groups {
            let group = format!("{root}/{group}");
            if file.groups(&group).iter().any(|part| part == "vars")
                && file.text(&format!("{group}/vars"), "name")?.as_deref() == Some(&layer.name)
            {
                return Ok(Some(group));
            }
        }
        if groups.contains(&layer.key) {
            return Ok(Some(format!("{root}/{}", layer.key)));
        }
    }
    Ok(None)
}

fn collect(
    file: &Hdf5,
    group: &str,
    depth: usize,
    weights: &mut Vec<ArrayD<f32>>,
) -> Result<(), String> {
    let parts = file.groups(group);
    for part in PARTS.iter().filter(|part| parts.iter().any(|p| p == *part)) {
        let part_group = format!("{group}/{part}");
        if *part == "vars" {
            for number in 0..file.arrays(&part_group).len() {
                weights.push(file.array(&format!("{part_group}/{number}"))?);
            }
        } else {
            // A link may lead back to its own group.
            let depth = depth
                .checked_sub(1)
                .ok_or_else(|| format!("{part_group} is deeper than any layer's weights"))?;
            collect(file, &part_group, depth, weights)?;
        }
    }
    Ok(())
}
