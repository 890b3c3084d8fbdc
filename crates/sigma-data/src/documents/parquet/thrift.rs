//! Thrift's compact protocol, walked through without a schema: every integer and the length of every text with the
//! numbers of the fields around it. What they mean is not known here.

use std::io::{self, Read};

/// Structures within each other; those of Parquet have five.
const DEEPEST: usize = 32;

/// What a walk says of an integer or a text: the numbers of the fields around it, and its value or its length.
pub(super) type Visit<'a> = dyn FnMut(&[i16], i64) + 'a;

/// A walk through one structure after another.
pub(super) struct Walk<R> {
    reader: R,
    /// Bytes walked through.
    pub(super) read: u64,
    path: Vec<i16>,
}

impl<R: Read> Walk<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, read: 0, path: Vec::new() }
    }

    /// Walks through a structure to its end. Every step takes a byte at least, so that the reader's end bounds it.
    pub(super) fn structure(&mut self, visit: &mut Visit<'_>) -> io::Result<()> {
        if self.path.len() > DEEPEST {
            return Err(damaged());
        }
        let mut id = 0i16;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            id = match header >> 4 {
                0 => i16::try_from(self.zigzag()?).map_err(|_| damaged())?,
                delta => id.checked_add(i16::from(delta)).ok_or_else(damaged)?,
            };
            self.path.push(id);
            match header & 15 {
                // truth is written in the kind itself
                kind @ (1 | 2) => visit(&self.path, i64::from(kind == 1)),
                kind => self.value(kind, visit)?,
            }
            self.path.pop();
        }
    }

    fn value(&mut self, kind: u8, visit: &mut Visit<'_>) -> io::Result<()> {
        match kind {
            1..=3 => drop(self.byte()?),
            4..=6 => {
                let value = self.zigzag()?;
                visit(&self.path, value);
            }
            7 => self.skip(8)?,
            8 => {
                let length = self.varint()?;
                visit(&self.path, i64::try_from(length).map_err(|_| damaged())?);
                self.skip(length)?;
            }
            9 | 10 => {
                let header = self.byte()?;
                let count = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
                for _ in 0..count {
                    self.value(header & 15, visit)?;
                }
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                for _ in 0..count {
                    self.value(kinds >> 4, visit)?;
                    self.value(kinds & 15, visit)?;
                }
            }
            12 => self.structure(visit)?,
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        self.read += 1;
        Ok(byte[0])
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(damaged())
    }

    fn zigzag(&mut self) -> io::Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink())?;
        self.read += skipped;
        if skipped < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not of Thrift's compact protocol")
}
