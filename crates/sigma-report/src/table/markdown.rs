//! A table as GitHub Markdown, padded so that it also reads well as plain text.

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

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
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
}
