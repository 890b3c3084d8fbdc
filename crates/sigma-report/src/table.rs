//! A table as data: named columns, typed cells. One value is written three ways: exactly for programs (CSV), rounded
//! for people (Markdown, LaTeX, HTML). It does not know what the columns mean.

mod csv_file;
mod html;
mod latex;
mod markdown;

use std::borrow::Cow;
use std::fmt::Write;

pub use csv_file::CsvTable;

/// Rows under named columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A column and how people see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// In CSV headers; users script against it.
    pub(crate) name: Cow<'static, str>,
    /// In Markdown, plain text.
    pub(crate) heading: Cow<'static, str>,
    /// In LaTeX, as LaTeX source.
    pub(crate) latex: Cow<'static, str>,
    pub(crate) digits: Digits,
}

/// How numbers are rounded for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Digits {
    /// As many as it takes.
    Exact,
    /// After the point.
    Decimals(usize),
    /// For values over orders of magnitude: one digit before the point, so many after, and an exponent.
    Scientific(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    /// A word for programs, and a phrase for people.
    Verdict {
        word: &'static str,
        phrase: &'static str,
    },
    Count(u64),
    Number(f64),
    Missing,
}

impl Column {
    /// A column of a file that is made for programs only.
    pub(crate) const fn named(name: &'static str) -> Column {
        Column {
            name: Cow::Borrowed(name),
            heading: Cow::Borrowed(name),
            latex: Cow::Borrowed(name),
            digits: Digits::Exact,
        }
    }

    /// A column that a report's own conditions give its name, in place of one that is always there. In LaTeX the parts
    /// of `label` stand beneath each other.
    pub(crate) fn of_condition(slug: &str, label: &str, digits: Digits) -> Column {
        let stacked: Vec<String> = label.split(", ").map(latex::escape).collect();
        let source = match &stacked[..] {
            [only] => only.clone(),
            several => format!("\\shortstack[r]{{{}}}", several.join("\\\\")),
        };
        Column { name: slug.to_owned().into(), heading: label.to_owned().into(), latex: source.into(), digits }
    }
}

impl Cell {
    pub(crate) fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    pub(crate) fn count(count: usize) -> Cell {
        Cell::Count(count as u64)
    }

    /// For programs: `{}` of a float is the shortest text that reads back as the same float. Missing is empty.
    pub(crate) fn exact(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Verdict { word, .. } => (*word).to_owned(),
            Cell::Count(count) => count.to_string(),
            Cell::Number(number) => number.to_string(),
            Cell::Missing => String::new(),
        }
    }

    /// For people.
    pub(crate) fn rounded(&self, digits: Digits) -> String {
        match self {
            Cell::Number(number) => rounded(*number, digits),
            Cell::Verdict { phrase, .. } => (*phrase).to_owned(),
            Cell::Missing => "n/a".to_owned(),
            Cell::Text(_) | Cell::Count(_) => self.exact(),
        }
    }

    /// Whether the cell is set flush right, so that digits stand under digits.
    fn is_numeric(&self) -> bool {
        matches!(self, Cell::Count(_) | Cell::Number(_) | Cell::Missing)
    }
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Cell {
        value.map_or(Cell::Missing, Cell::Number)
    }
}

/// `value` for people. A rounded zero has no sign: `-0.000` would claim a direction.
pub(crate) fn rounded(value: f64, digits: Digits) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let text = match digits {
        Digits::Exact => value.to_string(),
        Digits::Decimals(decimals) => format!("{value:.decimals$}"),
        Digits::Scientific(decimals) => format!("{value:.decimals$e}"),
    };
    match text.strip_prefix('-') {
        Some(magnitude) if magnitude.parse() == Ok(0.0) => magnitude.to_owned(),
        _ => text,
    }
}

impl Table {
    /// Whether a column is numeric in every row.
    fn is_numeric(&self, column: usize) -> bool {
        self.rows.iter().all(|row| row[column].is_numeric())
    }

    /// The numbers of a column, `None` where a cell holds none; nothing for a name that no column has.
    pub(crate) fn numbers_of(&self, name: &str) -> Vec<Option<f64>> {
        let Some(column) = self.columns.iter().position(|column| column.name == name) else { return Vec::new() };
        let number = |row: &Vec<Cell>| match row[column] {
            Cell::Number(number) => Some(number).filter(|number| number.is_finite()),
            Cell::Count(count) => Some(count as f64),
            _ => None,
        };
        self.rows.iter().map(number).collect()
    }

    fn rounded_rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.rows
            .iter()
            .map(|row| row.iter().zip(&self.columns).map(|(cell, column)| cell.rounded(column.digits)).collect())
    }
}

/// Writing to a `String` cannot fail; this keeps the `Result` of `write!` out of the layout code.
fn push_line(text: &mut String, line: std::fmt::Arguments) {
    let written = text.write_fmt(line);
    debug_assert!(written.is_ok());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_zero_drops_the_sign() {
        assert_eq!(rounded(-0.0004, Digits::Decimals(3)), "0.000");
        assert_eq!(rounded(-0.0006, Digits::Decimals(3)), "-0.001");
        assert_eq!(rounded(-0.0, Digits::Scientific(2)), "0.00e0");
    }

    #[test]
    fn exact_cells_read_back_as_the_same_number() {
        for number in [0.1 + 0.2, 1e-300, -1536.562, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Cell::Number(number).exact().parse(), Ok(number));
        }
        assert!(Cell::Number(f64::NAN).exact().parse::<f64>().is_ok_and(f64::is_nan));
    }
}
