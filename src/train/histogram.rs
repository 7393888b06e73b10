//! How many texts have which length, as a picture that stands alone.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 46.0;
/// Bars, unless there are fewer lengths.
const BINS: usize = 50;

/// Draws the histogram of some lengths; `unit` is what is counted.
pub fn histogram_svg(lengths: &[usize], unit: &str) -> String {
    let (least, most) = (
        lengths.iter().copied().min().unwrap_or(0),
        lengths.iter().copied().max().unwrap_or(0),
    );
    let bins = BINS.min(most - least + 1);
    let width = ((most - least + 1) as f64 / bins as f64).max(1.0);
    let mut counts = vec![0_u64; bins];
    for &length in lengths {
        let bin = ((length - least) as f64 / width) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    let tallest = counts.iter().copied().max().unwrap_or(0).max(1);
    let (plot_width, plot_height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let floor = HEIGHT - BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\" aria-label=\"Lengths of texts in {unit}\"><style>text{{font:12px system-ui,sans-serif;fill:#333}}\
         .title{{font-size:15px;font-weight:600}}</style>\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"#fff\"/>\
         <text class=\"title\" x=\"{LEFT}\" y=\"26\">{} texts by their length in {unit}</text>",
        lengths.len()
    );
    let mut put = |text: std::fmt::Arguments<'_>| {
        svg.write_fmt(text).expect("a string takes everything");
    };
    let step = plot_width / bins as f64;
    for (bin, count) in counts.iter().enumerate() {
        let height = plot_height * *count as f64 / tallest as f64;
        put(format_args!(
            "<rect x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{height:.2}\" fill=\"#2f6fb5\"/>",
            LEFT + step * bin as f64,
            floor - height,
            (step - 1.0).max(1.0)
        ));
    }
    put(format_args!(
        "<line x1=\"{LEFT}\" y1=\"{floor}\" x2=\"{:.1}\" y2=\"{floor}\" stroke=\"#8a8f98\"/>",
        WIDTH - RIGHT
    ));
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0}</text>",
            LEFT + plot_width * share,
            floor + 20.0,
            least as f64 + width * bins as f64 * share
        ));
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0}</text>",
            LEFT - 8.0,
            floor - plot_height * share + 4.0,
            tallest as f64 * share
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_in_one_bar_and_an_empty_set_has_a_picture_too() {
        let svg = histogram_svg(&[1, 1, 2, 3, 300], "words");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("5 texts by their length in words"));
        assert_eq!(svg.matches("fill=\"#2f6fb5\"").count(), 50);
        assert_eq!(
            histogram_svg(&[4, 4], "words").matches("#2f6fb5").count(),
            1
        );
        assert!(histogram_svg(&[], "words").contains("0 texts"));
    }
}
