//! A table as a LaTeX tabular that needs `\usepackage{booktabs}` and nothing else; made for `\input` inside a `table`.

use super::{Cell, Table, push_line};

/// More rows than this do not fit on a page beneath each other, and are set in side-by-side blocks.
const ROWS_PER_BLOCK: usize = 30;
/// More columns than this do not fit beside each other; the table then grows longer.
const MAX_COLUMNS: usize = 9;

impl Table {
    /// The table with a small paragraph beneath it for each note.
    pub(crate) fn latex_with(&self, notes: &[String]) -> String {
        let mut text = self.latex();
        for note in notes {
            push_line(&mut text, format_args!("\\par\\smallskip{{\\footnotesize {}\\par}}", escape(note)));
        }
        text
    }

    pub(crate) fn latex(&self) -> String {
        let max_blocks = (MAX_COLUMNS / self.columns.len().max(1)).max(1);
        let blocks = self.rows.len().div_ceil(ROWS_PER_BLOCK).clamp(1, max_blocks);
        let rows_per_block = self.rows.len().div_ceil(blocks);
        let alignment: String =
            (0..self.columns.len()).map(|column| if self.is_numeric(column) { 'r' } else { 'l' }).collect();
        let headings: Vec<&str> = self.columns.iter().map(|column| column.latex.as_ref()).collect();
        let empty_block = vec![""; self.columns.len()].join(" & ");

        let mut text = String::new();
        push_line(&mut text, format_args!("% Made by sigma-exp; needs \\usepackage{{booktabs}}."));
        push_line(&mut text, format_args!("\\begin{{tabular}}{{{}}}", vec![alignment; blocks].join("@{\\qquad}")));
        push_line(&mut text, format_args!("\\toprule"));
        push_line(&mut text, format_args!("{} \\\\", vec![headings.join(" & "); blocks].join(" & ")));
        push_line(&mut text, format_args!("\\midrule"));
        for line in 0..rows_per_block {
            let cells: Vec<String> = (0..blocks)
                .map(|block| self.rows.get(block * rows_per_block + line))
                .map(|row| row.map_or(empty_block.clone(), |row| self.latex_cells(row)))
                .collect();
            push_line(&mut text, format_args!("{} \\\\", cells.join(" & ")));
        }
        push_line(&mut text, format_args!("\\bottomrule"));
        push_line(&mut text, format_args!("\\end{{tabular}}"));
        text
    }

    fn latex_cells(&self, row: &[Cell]) -> String {
        let cells: Vec<String> = row
            .iter()
            .zip(&self.columns)
            .map(|(cell, column)| {
                let shown = cell.rounded(column.digits);
                match cell {
                    Cell::Number(number) if number.is_finite() => number_source(&shown),
                    Cell::Number(number) => infinite_source(*number).to_owned(),
                    _ => escape(&shown),
                }
            })
            .collect();
        cells.join(" & ")
    }
}

/// Math mode, where a minus is a minus and not a hyphen.
fn number_source(shown: &str) -> String {
    match shown.split_once('e') {
        Some((mantissa, exponent)) => format!("${mantissa} \\times 10^{{{exponent}}}$"),
        None => format!("${shown}$"),
    }
}

fn infinite_source(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "$\\infty$"
    } else {
        "$-\\infty$"
    }
}

/// `text` as LaTeX source that prints it.
pub(super) fn escape(text: &str) -> String {
    let mut source = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => source.push_str("\\textbackslash{}"),
            '~' => source.push_str("\\textasciitilde{}"),
            '^' => source.push_str("\\textasciicircum{}"),
            '<' => source.push_str("\\textless{}"),
            '>' => source.push_str("\\textgreater{}"),
            'α' => source.push_str("$\\alpha$"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                source.push('\\');
                source.push(character);
            }
            character if character.is_control() => source.push(' '),
            character => source.push(character),
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, Digits};

    fn table(rows: usize) -> Table {
        let column = |name, latex: &'static str| Column {
            latex: latex.into(),
            digits: Digits::Decimals(1),
            ..Column::named(name)
        };
        let row = |t| vec![Cell::Count(t as u64), Cell::Number(-(t as f64))];
        Table { columns: vec![column("t", "$t$"), column("du", "$\\Delta U$")], rows: (0..rows).map(row).collect() }
    }

    #[test]
    fn every_special_character_of_latex_is_escaped() {
        assert_eq!(escape(r"a_b & 50% of $1 #2 {x} \y"), r"a\_b \& 50\% of \$1 \#2 \{x\} \textbackslash{}y");
        assert_eq!(escape("~^<>\n"), r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{} ");
    }

    #[test]
    fn numbers_are_set_in_math_mode() {
        assert_eq!(number_source("-150.986"), "$-150.986$");
        assert_eq!(number_source("1.02e-4"), r"$1.02 \times 10^{-4}$");
    }

    #[test]
    fn every_row_of_a_long_table_is_there_once_and_lines_have_equal_columns() {
        for rows in [0, 1, 30, 31, 51, 61, 200] {
            let source = table(rows).latex();
            let body: Vec<&str> = source.lines().filter(|line| line.ends_with("\\\\")).skip(1).collect();
            let header = source.lines().find(|line| line.contains("Delta")).expect("a heading");
            let ampersands = |line: &str| line.matches('&').count();
            assert!(body.iter().all(|line| ampersands(line) == ampersands(header)), "{source}");
            for t in 1..rows {
                assert_eq!(
                    body.iter().filter(|line| line.contains(&format!("$-{t}.0$"))).count(),
                    1,
                    "{t} in {source}"
                );
            }
        }
        assert_eq!(table(51).latex().lines().filter(|line| line.ends_with("\\\\")).count(), 1 + 26);
    }
}
