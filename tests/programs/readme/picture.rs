//! A picture of terminals: what stands on their screens, in their colours, as an SVG that needs no file beside it.

use super::transcript::shape;
use vt100::{Cell, Color, Screen};

/// Lengths in pixels: a character with its share of the space between rows, its baseline in there, the type, what is left
/// free around the text, the bar above it, and the space between two windows.
const CELL_WIDTH: usize = 8;
const ROW_HEIGHT: usize = 19;
const BASELINE: usize = 14;
const FONT_SIZE: usize = 13;
const MARGIN: usize = 14;
const BAR_HEIGHT: usize = 30;
const GAP: usize = 16;
/// Readable on each other, and the window on a white page as on a black one.
const WINDOW: &str = "#161b22";
const EDGE: &str = "#57606a";
const TITLE: &str = "#a4adb7";
const PLAIN: &str = "#e6edf3";
const GREEN: &str = "#56d364";

/// A window for each screen, with its title, below each other.
pub(crate) fn of(windows: &[(&str, &Screen)]) -> String {
    let columns = windows.iter().map(|(_, screen)| usize::from(screen.size().1)).max().expect("a window");
    let width = 2 * MARGIN + columns * CELL_WIDTH;
    let mut body = String::new();
    let mut top = 0;
    for (title, screen) in windows {
        if top > 0 {
            top += GAP;
        }
        let rows = rows(screen);
        let height = BAR_HEIGHT + rows.len() * ROW_HEIGHT + MARGIN;
        body += &window(title, top, width, height);
        for (number, runs) in rows.iter().enumerate() {
            let y = top + BAR_HEIGHT + number * ROW_HEIGHT + BASELINE;
            body.extend(runs.iter().map(|run| run.text(y)));
        }
        top += height;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{top}\" viewBox=\"0 0 {width} {top}\" \
         xml:space=\"preserve\" font-size=\"{FONT_SIZE}\" \
         font-family=\"ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', monospace\">\n{body}</svg>\n"
    )
}

/// The frame of a window and its title.
fn window(title: &str, top: usize, width: usize, height: usize) -> String {
    // A line of one pixel is sharp where its middle is the middle of a pixel.
    format!(
        "<rect x=\"0.5\" y=\"{top}.5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"{WINDOW}\" stroke=\"{EDGE}\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{TITLE}\">{}</text>\n",
        width - 1,
        height - 1,
        width / 2,
        top + BAR_HEIGHT * 2 / 3,
        escape(title),
    )
}

/// Characters of one colour that stand side by side in a row.
struct Run {
    column: usize,
    columns: usize,
    colour: &'static str,
    text: String,
}

impl Run {
    fn text(&self, baseline: usize) -> String {
        let (x, length, colour) = (MARGIN + self.column * CELL_WIDTH, self.columns * CELL_WIDTH, self.colour);
        let text = escape(&self.text);
        format!("<text x=\"{x}\" y=\"{baseline}\" textLength=\"{length}\" fill=\"{colour}\">{text}</text>\n")
    }
}

/// What stands on a screen, down to the last row that has something on it.
fn rows(screen: &Screen) -> Vec<Vec<Run>> {
    let (height, width) = screen.size();
    let mut rows: Vec<Vec<Run>> = (0..height).map(|row| runs(screen, row, width)).collect();
    let used = rows.iter().rposition(|runs| !runs.is_empty()).map_or(0, |last| last + 1);
    rows.truncate(used);
    rows
}

fn runs(screen: &Screen, row: u16, width: u16) -> Vec<Run> {
    let cells: Vec<&Cell> = (0..width).map(|column| screen.cell(row, column).expect("on the screen")).collect();
    let used = cells.iter().rposition(|cell| cell.has_contents() && cell.contents() != " ").map_or(0, |last| last + 1);
    let mut runs: Vec<Run> = Vec::new();
    for (column, cell) in cells[..used].iter().enumerate() {
        let (colour, text) = (colour(cell), if cell.has_contents() { cell.contents() } else { " " });
        match runs.last_mut().filter(|run| run.colour == colour) {
            Some(run) => {
                run.text += text;
                run.columns += 1;
            }
            None => runs.push(Run { column, columns: 1, colour, text: text.to_owned() }),
        }
    }
    runs
}

fn colour(cell: &Cell) -> &'static str {
    match cell.fgcolor() {
        Color::Default => PLAIN,
        Color::Idx(2) => GREEN,
        other => panic!("the picture has no colour for {other:?}, which {:?} has", cell.contents()),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What a picture shows in every run: its texts from top to bottom, `#` for what differs, and their colours.
pub(crate) fn shown(svg: &str) -> Vec<(String, String)> {
    let document = roxmltree::Document::parse(svg).expect("well-formed");
    let texts = document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")));
    let shown = |node: roxmltree::Node| {
        let text = node.text().expect("something in it");
        (shape(text), node.attribute("fill").expect("a colour").to_owned())
    };
    texts.map(shown).collect()
}
