//! The part of Python's pickle format that `torch.save` writes, read as data. Nothing is ever called: a name that
//! weights do not need is an error, and so is whatever does not fit. Values lie side by side in one list and refer to
//! each other by number, so that nesting costs no stack and sharing no copies: reading takes time and memory in
//! proportion to the bytes.

use std::collections::HashMap;

/// Number of a value in [`Pickle::values`].
pub(super) type Id = usize;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// What tensors do not depend on: none, floats.
    Other,
    Bool(bool),
    Integer(i64),
    Text(String),
    /// `module.name`
    Name(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Call {
        name: String,
        arguments: Id,
    },
    /// A reference to data beside the pickle.
    Persistent(Id),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Damage, and what it is.
    Damaged(String),
    /// A function or class that weights do not need.
    Forbidden(String),
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    pub(super) root: Id,
}

impl Pickle {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        Ok(Self::read_first(bytes)?.0)
    }

    /// The pickle at the beginning of `bytes`, and what follows it.
    pub(super) fn read_first(bytes: &[u8]) -> Result<(Self, &[u8]), Problem> {
        let mut machine =
            Machine { bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok((Self { values: machine.values, root }, machine.bytes))
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        if let Value::Text(text) = self.value(id) { Some(text) } else { None }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        if let Value::Integer(number) = self.value(id) { usize::try_from(*number).ok() } else { None }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        if let Value::Tuple(items) = self.value(id) { Some(items) } else { None }
    }
}

/// What saved weights name.
fn is_needed(module: &str, name: &str) -> bool {
    match module {
        "collections" => name == "OrderedDict" || name == "defaultdict",
        "torch" => name.ends_with("Storage") || name == "Size" || name == "device",
        "torch._utils" => name == "_rebuild_tensor_v2" || name == "_rebuild_parameter",
        "torch._tensor" => name == "_rebuild_from_type_v2",
        "torch.nn.parameter" => name == "Parameter",
        _ => false,
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

fn damaged<T>(reason: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Damaged(reason.into()))
}

impl<'a> Machine<'a> {
    /// One instruction; whether there are more.
    fn step(&mut self) -> Result<bool, Problem> {
        let [code] = self.array()?;
        match code {
            // PROTO
            0x80 => {
                let [_] = self.array()?;
            }
            b'c' => self.name()?,
            b'K' => {
                let [number] = self.array()?;
                self.push(Value::Integer(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push(Value::Integer(number.into()));
            }
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push(Value::Integer(number.into()));
            }
            // LONG1: up to 255 bytes, of which sizes need eight at most
            0x8a => {
                let [count] = self.array()?;
                let digits = self.take(count.into())?;
                let mut number = [if digits.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 }; 8];
                let Some(low) = number.get_mut(..digits.len()) else { return damaged("an integer of over 8 bytes") };
                low.copy_from_slice(digits);
                self.push(Value::Integer(i64::from_le_bytes(number)));
            }
            b'G' => {
                let [..] = self.array::<8>()?;
                self.push(Value::Other);
            }
            b'X' => {
                let count = u32::from_le_bytes(self.array()?) as usize;
                let Ok(text) = std::str::from_utf8(self.take(count)?) else { return damaged("a text is not UTF-8") };
                self.push(Value::Text(text.to_string()));
            }
            b'N' => self.push(Value::Other),
            0x88 | 0x89 => self.push(Value::Bool(code == 0x88)),
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b'(' => self.marks.push(self.stack.len()),
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let Some(start) = self.stack.len().checked_sub(count) else { return damaged("its stack is empty") };
                let items = self.stack.split_off(start);
                self.push(Value::Tuple(items));
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id));
            }
            b'R' | 0x81 => self.call()?,
            b'b' => self.build()?,
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.insert(items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b'd' => {
                let items = self.since_mark()?;
                self.push(Value::Dict(Vec::new()));
                self.insert(items)?;
            }
            b'q' => {
                let [place] = self.array()?;
                self.remember(place.into())?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.array()?);
                self.remember(place)?;
            }
            b'h' => {
                let [place] = self.array()?;
                self.recall(place.into())?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.array()?);
                self.recall(place)?;
            }
            b'.' => return Ok(false),
            other => {
                return damaged(format!(
                    "the pickle has the instruction {other:#04x}, which torch.save does not write"
                ));
            }
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else { return damaged("the pickle ends early") };
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let taken = self.take(N)?;
        taken.try_into().or_else(|_| damaged("the pickle ends early"))
    }

    fn line(&mut self) -> Result<String, Problem> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return damaged("the pickle ends early");
        };
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    fn name(&mut self) -> Result<(), Problem> {
        let (module, name) = (self.line()?, self.line()?);
        let full = format!("{module}.{name}");
        if !is_needed(&module, &name) {
            // the file chooses the name, the message its length
            return Err(Problem::Forbidden(full.chars().filter(|c| !c.is_control()).take(80).collect()));
        }
        self.push(Value::Name(full));
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, Problem> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return damaged("its stack is empty");
        }
        self.stack.pop().map_or_else(|| damaged("its stack is empty"), Ok)
    }

    fn top(&self) -> Result<Id, Problem> {
        self.stack.last().map_or_else(|| damaged("its stack is empty"), |id| Ok(*id))
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, Problem> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => damaged("a mark is missing"),
        }
    }

    fn call(&mut self) -> Result<(), Problem> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Value::Name(name) = &self.values[callable] else { return damaged("it calls what is no function") };
        let name = name.clone();
        // what an ordered dictionary holds follows
        let made =
            if name.starts_with("collections.") { Value::Dict(Vec::new()) } else { Value::Call { name, arguments } };
        self.push(made);
        Ok(())
    }

    /// The attributes of an object; those of a dictionary are not its entries (`_metadata` of a state dict).
    fn build(&mut self) -> Result<(), Problem> {
        self.pop()?;
        self.top().map(|_| ())
    }

    fn insert(&mut self, items: Vec<Id>) -> Result<(), Problem> {
        let top = self.top()?;
        let Value::Dict(entries) = &mut self.values[top] else { return damaged("entries of what is no dictionary") };
        let pairs = items.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return damaged("a key without a value");
        }
        entries.extend(pairs.map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), Problem> {
        let top = self.top()?;
        // of other things that grow nothing is needed
        if let Value::List(list) = &mut self.values[top] {
            list.extend(items);
        }
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Result<(), Problem> {
        let id = self.top()?;
        self.memo.insert(place, id);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), Problem> {
        match self.memo.get(&place) {
            Some(id) => {
                self.stack.push(*id);
                Ok(())
            }
            None => damaged("it refers to what is not there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_weights_do_not_need_is_forbidden() {
        let read = Pickle::read(b"\x80\x02cposix\nsystem\nX\x02\0\0\0id\x85R.");
        assert_eq!(read.err(), Some(Problem::Forbidden("posix.system".to_string())));
    }

    #[test]
    fn sharing_and_nesting_cost_no_more_than_their_bytes() {
        // each tuple holds the one before twice: written out, 2^100,000 values
        let mut doubling = b"\x80\x02)".to_vec();
        for _ in 0..100_000 {
            doubling.extend(b"q\x00h\x00\x86");
        }
        doubling.push(b'.');
        let pickle = Pickle::read(&doubling).ok();
        assert!(pickle.is_some_and(|pickle| pickle.values.len() == 100_001));
    }

    #[test]
    fn broken_pickles_are_damaged() {
        let broken: [&[u8]; 10] =
            [b"", b".", b"t.", b"(", b"}(NNNu.", b"h\x05.", b"X\xff\xff\xff\xffab", b"]]R.", b"\xee.", b"(Q."];
        for bytes in broken {
            assert!(matches!(Pickle::read(bytes), Err(Problem::Damaged(_))), "{bytes:?}");
        }
    }
}
