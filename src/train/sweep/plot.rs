//! `runs.svg`: the validation loss of every run over its epochs, and beside each parameter's values, for people.

use serde_json::Value;

use super::parameter::{in_words, plain};
use super::record::Run;
use super::table::{Table, loss_in_words};
use crate::train::panel::{Axes, Scale, area, begin, path, put};

const TITLE: &str = "Validation loss";
const BEST: &str = "#d9731a";
const OTHER: &str = "#2f6fb5";

/// More marks than these would run into each other.
const MARKS: usize = 7;

/// Draws all runs; those that diverged have the epochs that they finished.
pub fn plot(runs: &[Run]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in runs.iter().flat_map(|run| run.settings.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let panels = 1 + names.len();
    let columns = panels.min(2);
    let place = |panel: usize| [panel % columns, panel / columns];
    let best = Table::new(runs).best();
    let mut svg = begin(
        [columns, panels.div_ceil(columns)],
        "All runs by validation loss",
    );
    epochs(&mut svg, runs, best, area(place(0)));
    for (at, name) in names.iter().enumerate() {
        values(&mut svg, (runs, name), best, area(place(at + 1)));
    }
    svg.push_str("</svg>\n");
    svg
}

fn epochs(svg: &mut String, runs: &[Run], best: Option<&Run>, [across, up]: [[f64; 2]; 2]) {
    let curve = |run: &Run| -> Vec<(f64, f64)> {
        let epochs = run.history.epochs.iter();
        epochs
            .filter_map(|e| Some((e.epoch as f64, e.val_loss.filter(|loss| loss.is_finite())?)))
            .collect()
    };
    let points: Vec<(f64, f64)> = runs.iter().flat_map(curve).collect();
    let epochs = Scale::of_epochs(points.iter().map(|p| p.0), across);
    let losses = Scale::around(points.iter().map(|p| p.1), up);
    let marks = epochs.ticks().into_iter();
    let marks = marks.map(|(epoch, label)| (epochs.at(epoch), label));
    let axes = Axes {
        title: TITLE,
        below: "epoch",
        values: &losses,
        across,
    };
    axes.draw(svg, marks);
    for run in best_last(runs, best) {
        let points: Vec<_> = curve(run)
            .into_iter()
            .map(|(x, y)| (epochs.at(x), losses.at(y)))
            .collect();
        let Some((x, y)) = points.last().copied() else {
            continue;
        };
        let (color, opacity) = look(run, best);
        let (line, said) = (path(points), said(run));
        put(
            svg,
            format_args!(
                "<g opacity=\"{opacity}\"><title>{said}</title><path class=\"line\" stroke=\"{color}\" d=\"{line}\"/>\
                 <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/></g>"
            ),
        );
    }
}

/// Runs that diverged have no place here.
fn values(
    svg: &mut String,
    (runs, name): (&[Run], &str),
    best: Option<&Run>,
    [across, up]: [[f64; 2]; 2],
) {
    let mut taken: Vec<&Value> = Vec::new();
    for value in runs.iter().filter_map(|run| run.settings.get(name)) {
        if !taken.contains(&value) {
            taken.push(value);
        }
    }
    taken.sort_by(|a, b| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => plain(a).cmp(&plain(b)),
    });
    // By rank: values may be numbers on any scale, or names.
    let [first, last] = across;
    let x = |rank: usize| first + (last - first) * (rank as f64 + 0.5) / taken.len() as f64;
    let every = taken.len().div_ceil(MARKS).max(1);
    let marked = taken.iter().enumerate().step_by(every);
    let marks = marked.map(|(rank, value)| (x(rank), escaped(&plain(value))));
    let losses = Scale::around(runs.iter().filter_map(Run::val_loss), up);
    let axes = Axes {
        title: TITLE,
        below: &escaped(name),
        values: &losses,
        across,
    };
    axes.draw(svg, marks);
    for run in best_last(runs, best) {
        let rank = taken
            .iter()
            .position(|value| run.settings.get(name) == Some(value));
        let (Some(rank), Some(loss)) = (rank, run.val_loss()) else {
            continue;
        };
        let (color, opacity) = look(run, best);
        put(
            svg,
            format_args!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{color}\" opacity=\"{opacity}\"><title>{}</title></circle>",
                x(rank),
                losses.at(loss),
                said(run)
            ),
        );
    }
}

/// What is drawn last lies on top.
fn best_last<'a>(runs: &'a [Run], best: Option<&'a Run>) -> impl Iterator<Item = &'a Run> {
    let others = runs.iter().filter(move |run| Some(*run) != best);
    others.chain(best)
}

fn look(run: &Run, best: Option<&Run>) -> (&'static str, &'static str) {
    if Some(run) == best {
        (BEST, "1")
    } else {
        (OTHER, "0.45")
    }
}

fn said(run: &Run) -> String {
    let end = match run.val_loss() {
        Some(loss) => loss_in_words(loss),
        None => "diverged".to_owned(),
    };
    escaped(&format!("{}: {end}", in_words(&run.settings)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
