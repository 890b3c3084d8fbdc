//! A table as GitHub Markdown, padded so that it also reads well as plain text.

use crate::shown::shown;

use super::{Table, push_line};

impl Table {
    /// The table with a paragraph beneath it for each note.
    pub(crate) fn markdown_with(&self, notes: &[String]) -> String {
        let mut text = self.markdown();
        for note in notes {
            push_line(&mut text, format_args!("\n{}", escape(note)));
        }
        text
    }

    pub(crate) fn markdown(&self) -> String {
        let headings: Vec<String> = self.columns.iter().map(|column| escape(&column.heading)).collect();
        let rows: Vec<Vec<String>> =
            self.rounded_rows().map(|row| row.iter().map(|cell| escape(cell)).collect()).collect();
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| rows.iter().chain([&headings]).map(|row| row[column].chars().count()).fold(3, usize::max))
            .collect();
        let aligned = |row: &[String]| -> String {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    let width = widths[column];
                    if self.is_numeric(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                })
                .collect();
            cells.join(" | ")
        };
        let rules: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(column, width)| match self.is_numeric(column) {
                true => format!("{}:", "-".repeat(width - 1)),
                false => "-".repeat(*width),
            })
            .collect();
        let mut text = String::new();
        push_line(&mut text, format_args!("| {} |", aligned(&headings)));
        push_line(&mut text, format_args!("| {} |", rules.join(" | ")));
        for row in &rows {
            push_line(&mut text, format_args!("| {} |", aligned(row)));
        }
        text
    }
}

/// `text` so that a reader of Markdown, with GitHub's extensions too, shows it as it is.
fn escape(text: &str) -> String {
    let text = shown(text).replace('\n', " ");
    let characters: Vec<char> = text.chars().collect();
    let at = |index: usize| characters.get(index).copied();
    let is_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    let mut source = String::with_capacity(text.len());
    for (i, &character) in characters.iter().enumerate() {
        let next = at(i + 1);
        let active = match character {
            '\\' | '|' | '[' | '*' | '`' | '~' | '$' => true,
            // a tag, an entity
            '<' => next.is_some_and(|next| next.is_alphanumeric() || "/!?".contains(next)),
            '&' => next.is_some_and(|next| next.is_alphanumeric() || next == '#'),
            // within a word it is itself
            '_' => !(is_word(i.checked_sub(1).and_then(at)) && is_word(next)),
            '!' => next == Some('['),
            // bare addresses become links
            '@' => true,
            ':' => next == Some('/'),
            '.' => i >= 3 && characters[i - 3..i].iter().all(|before| before.eq_ignore_ascii_case(&'w')),
            _ => false,
        };
        if active {
            source.push('\\');
        }
        source.push(character);
    }
    source
}

#[cfg(test)]
mod tests {
    use crate::table::{Cell, Column, Digits, Table};

    #[test]
    fn cells_cannot_break_out_of_their_column() {
        let column = |name| Column { digits: Digits::Decimals(1), ..Column::named(name) };
        let table = Table {
            columns: vec![column("run"), column("value")],
            rows: vec![vec![Cell::text("a|b\nc"), Cell::Number(-12.34)], vec![Cell::text("d"), Cell::Missing]],
        };
        let expected = "\
| run    | value |
| ------ | ----: |
| a\\|b c | -12.3 |
| d      |   n/a |
";
        assert_eq!(table.markdown(), expected);
    }

    #[test]
    fn a_name_is_shown_as_it_is_and_nothing_in_it_is_obeyed() {
        for (name, expected) in [
            ("![x](http://127.0.0.1:9/x.png)", "\\!\\[x](http\\://127.0.0.1:9/x.png)"),
            ("<img src=x onerror=alert(3)>", "\\<img src=x onerror=alert(3)>"),
            ("</td><!-- <?php", "\\</td>\\<!-- \\<?php"),
            ("[click](javascript:alert(1))", "\\[click](javascript:alert(1))"),
            ("`code` **bold** ~~gone~~", "\\`code\\` \\*\\*bold\\*\\* \\~\\~gone\\~\\~"),
            ("_it_ __b__ du_cov", "\\_it\\_ \\_\\_b\\_\\_ du_cov"),
            ("www.example.org me@example.org &lt; $x$", "www\\.example.org me\\@example.org \\&lt; \\$x\\$"),
            ("n_A < d & \u{1b}[31m", "n_A < d & \\\\u{1b}\\[31m"),
        ] {
            assert_eq!(super::escape(name), expected);
        }
    }
}
