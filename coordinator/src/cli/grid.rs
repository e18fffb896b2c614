//! Rows on a terminal, however narrow it is: a table, one without the columns that can be missed, or the rows one below the other. Called by every command that
//! prints a table; knows none of them, and never breaks a word: ids and commands are there to be copied.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

/// Characters of a column whose cells go on below: fewer make a sentence a tower.
const READABLE: usize = 16;
/// Blanks beside each cell, both together.
const PADDING: usize = 2;

/// An empty table in the style of all of them: as wide as the terminal, as wide as needed elsewhere.
pub(super) fn grid() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// Characters of the terminal's line; `None`: stdout is none.
pub(super) fn width() -> Option<usize> {
    Table::new().width().map(usize::from)
}

/// Without the spaces that fill the last column.
pub(super) fn trim_lines(text: &str) -> String {
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Characters of a text's longest line.
pub(super) fn longest_line(text: &str) -> usize {
    text.lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
}

/// Rows as a table no wider than `width`. What does not fit goes on below within its cell; where that is not enough the columns in `spare` are left out, the first
/// one first, and said to be; at last the rows stand one below the other. No row: nothing.
pub(super) fn fit<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    spare: &[&str],
    width: Option<usize>,
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let Some(width) = width else {
        return table(&header, rows, &[], None);
    };
    let is_narrow = |text: &String| longest_line(text) <= width;
    if let Some(whole) = Some(table(&header, rows, &[], None)).filter(is_narrow) {
        return whole;
    }
    for left_out in (0..=spare.len()).map(|count| &spare[..count]) {
        let mut text = table(&header, rows, left_out, Some(width));
        if is_narrow(&text) {
            if !left_out.is_empty() {
                text.push_str(&format!(
                    "\nA wider terminal also shows: {}.",
                    left_out.join(", ")
                ));
            }
            return text;
        }
    }
    records(header, rows, Some(width))
}

/// The rows one below the other, a line for each column.
pub(super) fn records<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    let widest = header.iter().map(|name| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|row| {
            let lines = header
                .iter()
                .zip(row)
                .map(|(name, value)| wrap(&format!("{name:<widest$}  "), value, width) + "\n");
            lines.collect::<String>()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A text behind its label, going on below itself where the terminal ends; broken at blanks only.
pub(super) fn wrap(label: &str, text: &str, width: Option<usize>) -> String {
    let indent = label.chars().count();
    let mut out = label.to_owned();
    let mut column = indent;
    for (index, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && width.is_some_and(|width| column + 1 + length > width) {
            out.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// Without these columns; with a width as narrow as that and its words allow, else as wide as needed.
fn table(
    header: &[&str],
    rows: &[impl AsRef<[String]>],
    left_out: &[&str],
    width: Option<usize>,
) -> String {
    let is_shown: Vec<bool> = header.iter().map(|name| !left_out.contains(name)).collect();
    let shown = |cells: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        let cells = cells.zip(&is_shown).filter(|(_, is_shown)| **is_shown);
        cells.map(|(cell, _)| cell.to_owned()).collect()
    };
    let mut lines = vec![shown(&mut header.iter().copied())];
    lines.extend(
        rows.iter()
            .map(|row| shown(&mut row.as_ref().iter().map(String::as_str))),
    );
    let mut table = grid();
    table.set_content_arrangement(ContentArrangement::Disabled);
    if let Some(width) = width.and_then(|width| u16::try_from(width).ok()) {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    let columns = lines[0].len();
    let least: Vec<ColumnConstraint> = (0..columns)
        .map(|column| {
            let cells = lines.iter().map(|line| line[column].as_str());
            let least = cells.map(least_width).max().unwrap_or(0) + PADDING;
            ColumnConstraint::LowerBoundary(Width::Fixed(u16::try_from(least).unwrap_or(u16::MAX)))
        })
        .collect();
    let mut lines = lines.into_iter();
    table.set_header(lines.next().unwrap_or_default());
    table.add_rows(lines);
    table.set_constraints(least);
    trim_lines(&table.to_string())
}

/// Characters of a cell that must stay beside each other: its longest word, and enough for a sentence to be read.
fn least_width(cell: &str) -> usize {
    let words = cell.split(' ').map(|word| word.chars().count());
    let longest = words.max().unwrap_or(0);
    longest.max(cell.chars().count().min(READABLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 5] = ["device", "id", "host", "detectable", "verdict"];
    const SPARE: [&str; 2] = ["host", "detectable"];

    fn rows() -> Vec<[String; 5]> {
        let row = |id: &str, verdict: &str| {
            [
                "NVIDIA H100 80GB HBM3",
                id,
                "gpu-07.lab.example",
                "3.1 %",
                verdict,
            ]
            .map(ToOwned::to_owned)
        };
        vec![
            row(
                "SIM-09517281-1",
                "confirmed: 8.2 % slower (driver 570.86 -> 580.12)",
            ),
            row("SIM-09517281-2", "normal"),
        ]
    }

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    #[test]
    fn no_word_is_broken_and_no_line_is_too_long_however_narrow_it_is() {
        let rows = rows();
        let longest = "gpu-07.lab.example".len() + "detectable  ".len();
        for width in longest..200 {
            let text = fit(HEADER, &rows, &SPARE, Some(width));
            assert!(longest_line(&text) <= width, "{width}:\n{text}");
            let found = words(&text);
            for word in rows.iter().flatten().flat_map(|cell| cell.split(' ')) {
                let is_spare = ["gpu-07.lab.example", "3.1"].contains(&word)
                    && text.contains("A wider terminal");
                assert!(is_spare || found.contains(&word), "{width}: {word}\n{text}");
            }
        }
    }

    #[test]
    fn columns_go_before_the_table_does() {
        let rows = rows();
        let shown = |width| fit(HEADER, &rows, &SPARE, Some(width));
        let whole = fit(HEADER, &rows, &SPARE, None);
        assert_eq!(shown(longest_line(&whole)), whole);
        assert!(shown(100).contains("gpu-07"), "{}", shown(100));
        let narrow = shown(70);
        assert!(
            narrow.ends_with("A wider terminal also shows: host.") && !narrow.contains("gpu-07"),
            "{narrow}"
        );
        let records = shown(40);
        assert!(
            records.contains("id          SIM-09517281-1\nhost        gpu-07.lab.example\n"),
            "{records}"
        );
        assert!(
            records.contains("verdict     confirmed: 8.2 % slower\n            (driver"),
            "{records}"
        );
    }

    #[test]
    fn a_text_goes_on_below_itself() {
        assert_eq!(
            wrap("  why  ", "one two three", Some(14)),
            "  why  one two\n       three"
        );
        assert_eq!(
            wrap("", "one-word-that-is-long", Some(5)),
            "one-word-that-is-long"
        );
        assert_eq!(wrap("a ", "b c", None), "a b c");
    }
}
