//! What the pages of a Parquet file unpack to, from their headers and, where those can lie, from the packed bytes,
//! before the library allocates anything for them. What the values mean is not known here.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use parquet::basic::{Compression, Encoding, Type as Physical};
use parquet::column::page::Page;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::delta;
use super::thrift::Walk;
use crate::error::DataError;
use crate::limits::Budget;

/// What an entry of a dictionary takes in memory, at least, beside its page.
const ENTRY: u64 = 32;

/// What gzip makes of one byte at most.
const GZIP: u64 = 1032;

/// Begins a file, and ends it behind the length of its footer.
const MARK: u64 = 4;

/// Refuses a footer whose tree of columns claims more than its list of them has.
pub(crate) fn check_footer(path: &Path, mut file: &File) -> Result<(), DataError> {
    let length = file.metadata().map_err(DataError::read(path))?.len();
    // what is too short or claims too much is the library's to refuse
    let Some(end) = length.checked_sub(2 * MARK) else { return Ok(()) };
    let mut size = [0; 4];
    file.seek(SeekFrom::Start(end)).map_err(DataError::read(path))?;
    file.read_exact(&mut size).map_err(DataError::read(path))?;
    let Some(start) = end.checked_sub(u64::from(u32::from_le_bytes(size))) else { return Ok(()) };
    file.seek(SeekFrom::Start(start)).map_err(DataError::read(path))?;
    let (mut elements, mut children) = (0i64, 0i64);
    let mut walk = Walk::new(BufReader::new(file.take(end - start)));
    let walked = walk.structure(&mut |field, value| match field {
        [SCHEMA, ELEMENT_NAME] => elements += 1,
        [SCHEMA, ELEMENT_CHILDREN] => children = children.saturating_add(value.max(0)),
        _ => {}
    });
    file.rewind().map_err(DataError::read(path))?;
    match walked {
        Ok(()) if children <= elements => Ok(()),
        Ok(()) => Err(damaged(path, "its columns claim more columns within them than there are")),
        Err(_) => Err(damaged(path, "its Parquet footer cannot be read")),
    }
}

/// Fields of the footer's structures.
const SCHEMA: i16 = 2;
const ELEMENT_NAME: i16 = 4;
const ELEMENT_CHILDREN: i16 = 5;

/// What the pages of some columns need.
#[derive(Default)]
pub(crate) struct Pages {
    /// Bytes of the largest page, unpacked.
    pub(crate) largest: u64,
    /// Whether values are written as what they do not share with the one before, so that each may be as large as its
    /// page.
    pub(crate) shared: bool,
}

/// Refuses pages of the columns `leaves` that would take more memory than there is left; `value` is what one value of a
/// row group takes where all of them may be in memory at once.
pub(crate) fn check(
    path: &Path,
    reader: &SerializedFileReader<File>,
    leaves: &[usize],
    value: u64,
    memory: &Budget<'_>,
) -> Result<Pages, DataError> {
    let mut pages = Pages::default();
    let metadata: &ParquetMetaData = reader.metadata();
    let file = File::open(path).map_err(DataError::read(path))?;
    for group in 0..metadata.num_row_groups() {
        for &leaf in leaves {
            let column = metadata.row_group(group).column(leaf);
            let mut chunk = Chunk { path, file: &file, column, memory, values: 0, counted: false };
            chunk.check(&mut pages)?;
            memory.check(chunk.values.saturating_mul(value), "a row group of its values")?;
            if chunk.counted {
                check_counts(path, reader, group, leaf)?;
            }
        }
    }
    Ok(pages)
}

/// The pages of one column in one row group.
struct Chunk<'a> {
    path: &'a Path,
    file: &'a File,
    column: &'a ColumnChunkMetaData,
    memory: &'a Budget<'a>,
    values: u64,
    /// Whether pages have counts of their own, which the library takes for what they say.
    counted: bool,
}

/// What matters of a page's header.
#[derive(Default)]
struct Header {
    unpacked: i64,
    packed: i64,
    values: i64,
    entries: i64,
    encoding: i64,
    /// Bytes before the packed ones, of pages of the second version.
    levels: i64,
    stored: bool,
}

impl Header {
    fn read(walk: &mut Walk<impl Read>) -> io::Result<Self> {
        let mut header = Self::default();
        walk.structure(&mut |field, value| match field {
            [2] => header.unpacked = value,
            [3] => header.packed = value,
            [5 | 8, 1] => header.values = value,
            [7, 1] => header.entries = value,
            [5, 2] | [8, 4] => header.encoding = value,
            [8, 5 | 6] => header.levels = header.levels.saturating_add(value),
            [8, 7] => header.stored = value == 0,
            _ => {}
        })?;
        Ok(header)
    }
}

impl Chunk<'_> {
    fn check(&mut self, pages: &mut Pages) -> Result<(), DataError> {
        let (mut at, length) = self.column.byte_range();
        let size = self.file.metadata().map_err(DataError::read(self.path))?.len();
        let end = at.checked_add(length).filter(|&end| end <= size);
        let end = end.ok_or_else(|| damaged(self.path, "the place of a column is outside of the file"))?;
        while at < end {
            let mut file = BufReader::new(self.file);
            file.seek(SeekFrom::Start(at)).map_err(DataError::read(self.path))?;
            let mut walk = Walk::new(file.take(end - at));
            let header = Header::read(&mut walk).map_err(|_| damaged(self.path, "the header of a page is damaged"))?;
            at += walk.read;
            self.page(&header, at, end, pages)?;
            at += header.packed as u64;
        }
        Ok(())
    }

    /// Checks a page whose bytes begin `at`.
    fn page(&mut self, header: &Header, at: u64, end: u64, pages: &mut Pages) -> Result<(), DataError> {
        let counts = [header.unpacked, header.packed, header.values, header.entries, header.levels];
        let [unpacked, packed, values, entries, levels] = counts.map(|count| u64::try_from(count).ok());
        let (Some(unpacked), Some(packed), Some(values), Some(entries), Some(levels)) =
            (unpacked, packed, values, entries, levels)
        else {
            return Err(damaged(self.path, "a page has a negative size"));
        };
        if packed > end - at || levels > packed.min(unpacked) {
            return Err(damaged(self.path, "a page is longer than its column"));
        }
        self.memory.check(unpacked, "a page of it")?;
        let least = match self.column.column_type() {
            Physical::BOOLEAN | Physical::FIXED_LEN_BYTE_ARRAY => 0,
            Physical::BYTE_ARRAY | Physical::INT32 | Physical::FLOAT => 4,
            Physical::INT64 | Physical::DOUBLE => 8,
            Physical::INT96 => 12,
        };
        if entries.saturating_mul(least) > unpacked {
            return Err(damaged(self.path, "a dictionary claims more entries than its page holds"));
        }
        self.memory.check(unpacked.saturating_add(entries.saturating_mul(ENTRY)), "a dictionary of it")?;
        self.values = self.values.saturating_add(values);
        pages.largest = pages.largest.max(unpacked);
        self.counted |= [DELTA_LENGTH, DELTA_TEXT].contains(&header.encoding);
        pages.shared |= header.encoding == DELTA_TEXT;
        if header.stored {
            return Ok(());
        }
        self.check_unpacked(at + levels, packed - levels, unpacked - levels)
    }

    /// Unpacks a page to nowhere where its header could say less than it is. The other codecs stop by themselves.
    fn check_unpacked(&self, at: u64, packed: u64, unpacked: u64) -> Result<(), DataError> {
        let gzip = match self.column.compression() {
            Compression::GZIP(_) if packed.saturating_mul(GZIP) <= self.memory.left() => return Ok(()),
            Compression::GZIP(_) => true,
            Compression::BROTLI(_) => false,
            _ => return Ok(()),
        };
        let mut file = self.file;
        file.seek(SeekFrom::Start(at)).map_err(DataError::read(self.path))?;
        let bytes = BufReader::new(file.take(packed));
        let (limit, nowhere) = (unpacked.saturating_add(1), &mut io::sink());
        let found = if gzip {
            io::copy(&mut flate2::bufread::MultiGzDecoder::new(bytes).take(limit), nowhere)
        } else {
            io::copy(&mut brotli::Decompressor::new(bytes, UNPACKED_AT_ONCE).take(limit), nowhere)
        };
        match found {
            // what cannot be unpacked is the library's to refuse
            Ok(found) if found > unpacked => Err(damaged(
                self.path,
                &format!("a page unpacks to more than the {unpacked} bytes that its header says"),
            )),
            _ => Ok(()),
        }
    }
}

/// Buffer of a decompressor.
const UNPACKED_AT_ONCE: usize = 1 << 16;

/// Numbers of encodings in headers: lengths as differences, and texts as what they do not share.
const DELTA_LENGTH: i64 = 6;
const DELTA_TEXT: i64 = 7;

/// Refuses pages of texts whose own counts are not those of their headers. These pages have been checked otherwise.
fn check_counts(path: &Path, reader: &SerializedFileReader<File>, group: usize, leaf: usize) -> Result<(), DataError> {
    let failed = |source| DataError::Parquet { path: path.to_path_buf(), source };
    let group = reader.get_row_group(group).map_err(failed)?;
    let column = reader.metadata().file_metadata().schema_descr().column(leaf);
    for page in group.get_column_page_reader(leaf).map_err(failed)? {
        let (bytes, values, encoding, start) = match page.map_err(failed)? {
            Page::DataPage { buf, num_values, encoding, .. } => {
                // each list of levels stands behind its length
                let mut start = 0;
                for level in [column.max_rep_level(), column.max_def_level()] {
                    if let (true, Some(length)) = (level > 0, buf.get(start..).and_then(<[u8]>::first_chunk::<4>)) {
                        start = start.saturating_add(4).saturating_add(u32::from_le_bytes(*length) as usize);
                    }
                }
                (buf, num_values, encoding, start)
            }
            Page::DataPageV2 { buf, num_values, encoding, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let start = (def_levels_byte_len as usize).saturating_add(rep_levels_byte_len as usize);
                (buf, num_values, encoding, start)
            }
            Page::DictionaryPage { .. } => continue,
        };
        let lists = match encoding {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
            Encoding::DELTA_BYTE_ARRAY => 2,
            _ => continue,
        };
        let mut rest = bytes.get(start..).unwrap_or_default();
        for _ in 0..lists {
            match delta::count(&mut rest) {
                Some(count) if count <= u64::from(values) => {}
                _ => return Err(damaged(path, "a page of texts does not hold as many as its header says")),
            }
        }
    }
    Ok(())
}

fn damaged(path: &Path, problem: &str) -> DataError {
    DataError::Shard { path: path.to_path_buf(), problem: format!("{problem}; it is damaged, write it again") }
}
