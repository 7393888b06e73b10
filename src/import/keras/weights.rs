//! Where a file keeps a layer's weights: by name in `.h5`, by number in `.keras`.

use std::collections::HashSet;

use ndarray::ArrayD;

use super::config::Described;
use crate::import::hdf5::Hdf5;

/// The weights of all layers.
pub(super) struct Weights {
    file: Hdf5,
    layout: Layout,
}

/// The two layouts, with the groups that are there.
enum Layout {
    /// `model_weights/<layer>` with the attribute `weight_names`; Keras 2 and 3.
    Named(HashSet<String>),
    /// `<root>/<layer>/vars/0`, the wrapped layers and cells in groups inside of it.
    Numbered(Vec<Group>),
}

/// A group that may be a layer's.
struct Group {
    root: &'static str,
    key: String,
    /// The layer's name, if it stands beside the weights.
    name: Option<String>,
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
    /// Those of `.h5`.
    pub fn named(file: Hdf5) -> Self {
        let groups = file.groups("model_weights").into_iter().collect();
        Self {
            file,
            layout: Layout::Named(groups),
        }
    }

    /// Those of `.keras`.
    ///
    /// # Errors
    /// They are damaged.
    pub fn numbered(file: Hdf5) -> Result<Self, String> {
        let mut groups = Vec::new();
        for root in ROOTS {
            for key in file.groups(root) {
                let group = format!("{root}/{key}");
                let parts = file.groups(&group);
                let name = match parts.iter().any(|part| part == "vars") {
                    true => file.text(&format!("{group}/vars"), "name")?,
                    false => None,
                };
                groups.push(Group { root, key, name });
            }
        }
        Ok(Self {
            file,
            layout: Layout::Numbered(groups),
        })
    }

    /// A layer's weights in the order of `get_weights()`; none where the file has none for it.
    ///
    /// # Errors
    /// They are damaged.
    pub fn of(&self, layer: &Described) -> Result<Vec<ArrayD<f32>>, String> {
        let file = &self.file;
        match &self.layout {
            Layout::Named(groups) if !groups.contains(&layer.name) => Ok(Vec::new()),
            Layout::Named(_) => {
                let group = format!("model_weights/{}", layer.name);
                let names = file.texts(&group, "weight_names")?.unwrap_or_default();
                let paths = names.iter().map(|name| format!("{group}/{name}"));
                paths.map(|path| file.array(&path)).collect()
            }
            Layout::Numbered(groups) => {
                let mut weights = Vec::new();
                if let Some(group) = numbered_group(groups, layer) {
                    collect(file, &group, MOST_DEPTH, &mut weights)?;
                }
                Ok(weights)
            }
        }
    }
}

/// The group of a layer: Keras says the layer's name beside its weights, else it is known by its number.
fn numbered_group(groups: &[Group], layer: &Described) -> Option<String> {
    let found = ROOTS.iter().find_map(|root| {
        let here = || groups.iter().filter(|group| group.root == *root);
        here()
            .find(|group| group.name.as_ref() == Some(&layer.name))
            .or_else(|| here().find(|group| group.key == layer.key))
    })?;
    Some(format!("{}/{}", found.root, found.key))
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
