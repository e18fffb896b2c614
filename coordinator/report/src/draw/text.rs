//! How wide text will be, near enough to keep labels apart: no font is at hand when a plot is drawn, so widths are those of a wide system font.

/// Estimated width in pixels of `text` at a font size in pixels; rather too wide than too narrow.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size
}

/// Advance of a character over the font size.
fn advance(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '·' => 0.32,
        ' ' | 'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | '-' => 0.41,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' | '–' | '→' => 0.94,
        'A'..='Z' => 0.7,
        character if character.is_ascii() => 0.61,
        character if u32::from(character) >= 0x2e80 => 1.0,
        _ => 0.65,
    }
}

/// `text`, or its beginning and an ellipsis, within `limit` pixels.
pub(crate) fn ellipsis(text: &str, size: f64, limit: f64) -> String {
    if width(text, size) <= limit {
        return text.to_owned();
    }
    let room = limit - width("…", size);
    let mut used = 0.0;
    let kept: String = text
        .chars()
        .take_while(|&character| {
            used += advance(character) * size;
            used <= room
        })
        .collect();
    format!("{}…", kept.trim_end())
}

/// `text` in at most `lines` lines of at most `limit` pixels, broken between words where there are some.
pub(crate) fn wrap(text: &str, size: f64, limit: f64, lines: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(first) = words.next() {
        let mut line = first.to_owned();
        if out.len() + 1 >= lines {
            for word in words.by_ref() {
                line.push(' ');
                line.push_str(word);
            }
        } else {
            while let Some(word) = words
                .next_if(|word| width(&line, size) + width(" ", size) + width(word, size) <= limit)
            {
                line.push(' ');
                line.push_str(word);
            }
        }
        out.push(ellipsis(&line, size, limit));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_text_stays_within_its_limit_and_lines() {
        let text = "one two three four five six seven eight nine ten eleven twelve";
        let lines = wrap(text, 10.0, 120.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(
            lines.iter().all(|line| width(line, 10.0) <= 120.0),
            "{lines:?}"
        );
        assert!(lines[1].ends_with('…'));
        assert_eq!(wrap("short", 10.0, 120.0, 2), ["short"]);
        assert!(wrap("  ", 10.0, 120.0, 2).is_empty());
    }

    #[test]
    fn a_word_longer_than_the_line_is_cut() {
        let lines = wrap(&"x".repeat(200), 10.0, 100.0, 3);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].ends_with('…') && width(&lines[0], 10.0) <= 100.0);
    }
}
