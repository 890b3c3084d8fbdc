//! Accumulators as files: safetensors with the lower triangle of G row by row, the sum of unit rows and a few scalars,
//! all float64, so that a shard's sums can be computed on one machine and merged on another. Which rows went in is not
//! recorded.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::row_sums::RowSums;
use super::{GramAccumulator, MAX_WIDTH, Precision};
use crate::MetricsError;

const FORMAT: &str = "sigma-gram";
const VERSION: &str = "1";
/// A header is some hundred bytes; one that says more is not ours.
const HEADER_LIMIT: u64 = 1 << 16;

impl GramAccumulator {
    /// Writes everything that was pushed so far and returns once the disk has it. A reader could see half a file
    /// meanwhile: callers that mind write to another name and rename.
    ///
    /// # Errors
    /// [`MetricsError::GramFile`].
    pub fn save(&self, path: &Path) -> Result<(), MetricsError> {
        let complete = self.complete()?;
        let d = complete.d;
        let mut triangle = Vec::with_capacity(4 * d * (d + 1));
        for i in 0..d {
            for j in 0..=i {
                triangle.extend(complete.lower[j * d + i].to_le_bytes());
            }
        }
        let sums = &complete.sums;
        let unit_sum = bytes(&sums.unit_sum);
        let scalars = bytes(&[sums.energy, sums.largest_energy, complete.single_energy]);
        let precision = match complete.precision {
            Precision::Single => "float32",
            Precision::Double => "float64",
        };
        // written by hand: the crate's own order of metadata is another one each time, and equal sums should be equal
        // files
        let mut header = format!(
            r#"{{"__metadata__":{{"format":"{FORMAT}","version":"{VERSION}","d":"{d}","n":"{}","unit_rows":"{}","products":"{precision}"}}"#,
            complete.n, sums.unit_rows
        );
        let mut content = Vec::new();
        for (name, data) in [("lower", triangle), ("unit_sum", unit_sum), ("energy_largest_single", scalars)] {
            let (begin, end) = (content.len(), content.len() + data.len());
            let shape = data.len() / size_of::<f64>();
            header += &format!(r#","{name}":{{"dtype":"F64","shape":[{shape}],"data_offsets":[{begin},{end}]}}"#);
            content.extend(data);
        }
        header.push('}');
        // the format wants its data aligned
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        let wrong = |e: std::io::Error| MetricsError::GramFile {
            path: path.to_path_buf(),
            reason: format!("cannot be written: {e}"),
        };
        let written = File::create(path).and_then(|mut file| {
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(header.as_bytes())?;
            file.write_all(&content)?;
            // a pipe has no disk
            if file.metadata()?.is_file() { file.sync_all() } else { Ok(()) }
        });
        written.map_err(wrong)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`MetricsError::GramFile`] names the path and what is wrong: a file that is missing, truncated, of something
    /// else or of another version.
    pub fn load(path: &Path) -> Result<Self, MetricsError> {
        read(path).map_err(|reason| MetricsError::GramFile { path: path.to_path_buf(), reason })
    }
}

fn read(path: &Path) -> Result<GramAccumulator, String> {
    let io = |e: std::io::Error| format!("cannot be read: {e}");
    let foreign = || "is no Gram matrix of `sigma-exp gram`".to_string();
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    // the header first: what is not ours may be of any size, and is not read
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).map_err(|_| foreign())?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > HEADER_LIMIT || header_length > length - 8 {
        return Err(foreign());
    }
    let mut content = prefix.to_vec();
    Read::by_ref(&mut file).take(header_length).read_to_end(&mut content).map_err(io)?;
    let header: serde_json::Value = serde_json::from_slice(&content[8..]).map_err(|_| foreign())?;
    let field = |name: &str| header["__metadata__"][name].as_str();
    if field("format") != Some(FORMAT) {
        return Err(foreign());
    }
    if field("version") != Some(VERSION) {
        let found = field("version").unwrap_or("?");
        return Err(format!("is of version {found}, but version {VERSION} is read: make it again with this program"));
    }
    let number = |name: &str| {
        field(name).and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| format!("is damaged: no number `{name}`"))
    };
    let (n, unit_rows) = (number("n")?, number("unit_rows")?);
    let d = usize::try_from(number("d")?).ok().filter(|d| (1..=MAX_WIDTH).contains(d));
    let d = d.ok_or_else(|| format!("is damaged: its width is not within 1 to {MAX_WIDTH}"))?;
    let values = d * (d + 1) / 2 + d + 3;
    let expected = 8 + header_length + 8 * values as u64;
    if length != expected {
        return Err(format!("is damaged or incomplete: it has {length} bytes instead of {expected}"));
    }
    file.take(8 * values as u64).read_to_end(&mut content).map_err(io)?;
    let tensors = SafeTensors::deserialize(&content).map_err(|e| format!("is damaged: {e}"))?;
    let tensor = |name: &str, count: usize| {
        let view = tensors.tensor(name).map_err(|_| format!("is damaged: no tensor `{name}`"))?;
        if view.dtype() != Dtype::F64 || view.shape() != [count] {
            return Err(format!("is damaged: `{name}` is not of {count} float64 values"));
        }
        let (values, _) = view.data().as_chunks::<8>();
        let values: Vec<f64> = values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(format!("is damaged: `{name}` holds NaN or infinity"))
        }
    };
    let precision = match field("products") {
        Some("float32") => Precision::Single,
        Some("float64") => Precision::Double,
        _ => return Err("is damaged: `products` is neither float32 nor float64".to_string()),
    };
    let triangle = tensor("lower", d * (d + 1) / 2)?;
    let mut lower = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            lower[j * d + i] = triangle[i * (i + 1) / 2 + j];
        }
    }
    let scalars = tensor("energy_largest_single", 3)?;
    if scalars.iter().any(|&value| value < 0.0) || unit_rows > n {
        return Err("is damaged: its sums contradict each other".to_string());
    }
    let sums = RowSums { energy: scalars[0], largest_energy: scalars[1], unit_rows, unit_sum: tensor("unit_sum", d)? };
    Ok(GramAccumulator { d, precision, n, lower, sums, single_energy: scalars[2], pending: Vec::new() })
}

fn bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
