//! NumPy's `.npy` files: one dense tensor.
//!
//! Format: `numpy.lib.format`, versions 1 to 3. Little-endian (or one-byte) numbers and `bool` only;
//! Fortran order is brought into row-major order. A header is parsed for exactly the dictionary that NumPy
//! writes, and is data: nothing of it is evaluated.

use crate::atomic::AtomicFile;
use crate::error::OutOfMemory;
use crate::memory::Buffer;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use thiserror::Error;
use ttk_ir::DType;

/// A dense row-major tensor.
#[derive(Clone, Debug)]
pub struct Array {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub data: Buffer,
}

/// Why a file could not be read or written.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum NpyError {
    #[error("cannot {action} {path}: {reason}")]
    Io { action: &'static str, path: String, reason: String },
    #[error("not a .npy file")]
    Magic,
    #[error("a .npy file of version {major}.{minor}, which is not known")]
    Version { major: u8, minor: u8 },
    #[error("the header ends too soon, or is longer than {MAX_HEADER} bytes")]
    HeaderLength,
    #[error("the header is not what NumPy writes, at byte {at}")]
    Header { at: usize },
    #[error("elements of type {descr:?} are not supported")]
    DType { descr: String },
    #[error("a shape of {shape:?} is not possible")]
    Shape { shape: Vec<u64> },
    #[error("{expected} bytes of data were to follow the header, {found} do")]
    DataLength { expected: usize, found: usize },
    #[error("NumPy has no type like {}", dtype.name())]
    NoNumpyType { dtype: DType },
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}

const MAGIC: &[u8] = b"\x93NUMPY";
const MAX_HEADER: usize = 1 << 16;
const MAX_RANK: usize = 64;

/// Reads a file.
///
/// # Errors
/// When it is not a `.npy` file of numbers that we have.
pub fn read(path: &Path) -> Result<Array, NpyError> {
    let bytes = fs::read(path).map_err(|e| refused("read", path, &e))?;
    from_bytes(&bytes)
}

/// Writes a file; `path` holds all of it, or what it held before.
///
/// # Errors
/// `bf16` has no NumPy type; the file system may refuse.
pub fn write(path: &Path, array: &Array) -> Result<(), NpyError> {
    write_all([(path, array)])
}

/// Writes several files; none takes its place before all are written.
///
/// # Errors
/// As [`write`].
pub fn write_all<'a>(files: impl IntoIterator<Item = (&'a Path, &'a Array)>) -> Result<(), NpyError> {
    let mut written = Vec::new();
    for (path, array) in files {
        let bytes = to_bytes(array)?;
        let put = || -> io::Result<AtomicFile> {
            let mut file = AtomicFile::create(path)?;
            file.file().write_all(&bytes)?;
            Ok(file)
        };
        written.push((path, put().map_err(|e| refused("write", path, &e))?));
    }
    for (path, file) in written {
        file.commit().map_err(|e| refused("write", path, &e))?;
    }
    Ok(())
}

/// A tensor as the bytes of a file.
///
/// # Errors
/// `bf16` has no NumPy type; the length of the data must be that of the shape.
pub fn to_bytes(array: &Array) -> Result<Vec<u8>, NpyError> {
    let expected = array.shape.iter().product::<usize>() * array.dtype.size();
    if expected != array.data.len() {
        return Err(NpyError::DataLength { expected, found: array.data.len() });
    }
    let shape: String = match array.shape.as_slice() {
        [one] => format!("{one},"),
        more => more.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let descr = descr(array.dtype)?;
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Data starts at a multiple of 64, and the header ends in a new line.
    let before = MAGIC.len() + 4;
    let pad = (before + header.len() + 1).next_multiple_of(64) - (before + header.len() + 1);
    header.extend(std::iter::repeat_n(' ', pad));
    header.push('\n');
    let mut out = Vec::with_capacity(before + header.len() + array.data.len());
    out.extend(MAGIC);
    out.extend([1, 0]);
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(array.data.bytes());
    Ok(out)
}

/// A tensor from the bytes of a file.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8]) -> Result<Array, NpyError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(NpyError::Magic)?;
    let (&[major, minor], rest) = rest.split_first_chunk::<2>().ok_or(NpyError::HeaderLength)?;
    let (length, rest) = match (major, minor) {
        (1, 0) => rest.split_first_chunk::<2>().map(|(n, rest)| (u16::from_le_bytes(*n) as usize, rest)),
        (2 | 3, 0) => rest.split_first_chunk::<4>().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
        _ => return Err(NpyError::Version { major, minor }),
    }
    .ok_or(NpyError::HeaderLength)?;
    if length > MAX_HEADER {
        return Err(NpyError::HeaderLength);
    }
    let (header, data) = rest.split_at_checked(length).ok_or(NpyError::HeaderLength)?;
    let header = Parser { bytes: header, at: 0 }.header()?;
    let dtype = dtype(&header.descr)?;

    let wrong = || NpyError::Shape { shape: header.shape.clone() };
    let mut expected = Some(dtype.size());
    let mut shape = Vec::with_capacity(header.shape.len());
    for &d in &header.shape {
        let d = usize::try_from(d).map_err(|_| wrong())?;
        expected = expected.and_then(|n| n.checked_mul(d));
        shape.push(d);
    }
    let expected = expected.ok_or_else(wrong)?;
    if data.len() != expected {
        return Err(NpyError::DataLength { expected, found: data.len() });
    }
    let mut buffer = Buffer::from_slice(data)?;
    if let Some(out) = buffer.bytes_mut() {
        if header.fortran && shape.len() > 1 {
            from_fortran(data, out, &shape, dtype.size());
        }
        if dtype == DType::Bool {
            // Any byte but 0 is true to NumPy; to us, 1 is.
            out.iter_mut().for_each(|b| *b = u8::from(*b != 0));
        }
    }
    Ok(Array { dtype, shape, data: buffer })
}

/// Copies elements whose first axis is the innermost into row-major order.
fn from_fortran(from: &[u8], to: &mut [u8], shape: &[usize], size: usize) {
    let mut strides = vec![size; shape.len()];
    for i in 1..shape.len() {
        strides[i] = strides[i - 1] * shape[i - 1];
    }
    let mut position = vec![0usize; shape.len()];
    for out in to.chunks_exact_mut(size) {
        let at: usize = position.iter().zip(&strides).map(|(p, s)| p * s).sum();
        out.copy_from_slice(&from[at..at + size]);
        for axis in (0..shape.len()).rev() {
            position[axis] += 1;
            if position[axis] < shape[axis] {
                break;
            }
            position[axis] = 0;
        }
    }
}

fn descr(dtype: DType) -> Result<&'static str, NpyError> {
    Ok(match dtype {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::BF16 => return Err(NpyError::NoNumpyType { dtype }),
    })
}

fn dtype(text: &str) -> Result<DType, NpyError> {
    let known = DType::ALL.into_iter().find(|&d| {
        descr(d).is_ok_and(|own| own == text || d.size() == 1 && text.len() == 3 && own[1..] == text[1..])
    });
    known.ok_or_else(|| NpyError::DType { descr: text.into() })
}

fn refused(action: &'static str, path: &Path, e: &io::Error) -> NpyError {
    NpyError::Io { action, path: path.display().to_string(), reason: e.to_string() }
}

struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<u64>,
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, keys in any order.
struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn header(mut self) -> Result<Header, NpyError> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.take(b'}') {
            let key = self.quoted()?;
            self.expect(b':')?;
            match key.as_str() {
                "descr" if descr.is_none() => descr = Some(self.quoted()?),
                "fortran_order" if fortran.is_none() => fortran = Some(self.truth()?),
                "shape" if shape.is_none() => shape = Some(self.tuple()?),
                _ => return self.fail(),
            }
            if !self.take(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        self.space();
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) if self.at == self.bytes.len() => {
                Ok(Header { descr, fortran, shape })
            }
            _ => self.fail(),
        }
    }

    fn tuple(&mut self) -> Result<Vec<u64>, NpyError> {
        let mut out = Vec::new();
        self.expect(b'(')?;
        while !self.take(b')') {
            if out.len() == MAX_RANK {
                return self.fail();
            }
            out.push(self.number()?);
            if !self.take(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(out)
    }

    fn number(&mut self) -> Result<u64, NpyError> {
        self.space();
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.bytes[start..self.at]).ok();
        match digits.and_then(|d| d.parse().ok()) {
            Some(n) => Ok(n),
            None => self.fail(),
        }
    }

    fn truth(&mut self) -> Result<bool, NpyError> {
        self.space();
        for (word, value) in [("True", true), ("False", false)] {
            if self.bytes[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.fail()
    }

    fn quoted(&mut self) -> Result<String, NpyError> {
        self.space();
        let Some(quote) = self.peek().filter(|b| matches!(b, b'\'' | b'"')) else { return self.fail() };
        self.at += 1;
        let start = self.at;
        while self.peek().is_some_and(|b| b != quote && b.is_ascii_graphic() && b != b'\\') {
            self.at += 1;
        }
        let text = String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned();
        if self.peek() != Some(quote) {
            return self.fail();
        }
        self.at += 1;
        Ok(text)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), NpyError> {
        if self.take(byte) { Ok(()) } else { self.fail() }
    }

    fn fail<T>(&self) -> Result<T, NpyError> {
        Err(NpyError::Header { at: self.at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([version, 0]);
        match version {
            1 => out.extend((header.len() as u16).to_le_bytes()),
            _ => out.extend((header.len() as u32).to_le_bytes()),
        }
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    fn array(dtype: DType, shape: &[usize], data: &[u8]) -> Array {
        Array { dtype, shape: shape.into(), data: Buffer::from_slice(data).unwrap() }
    }

    #[test]
    fn every_type_and_rank_survives() {
        let data: Vec<u8> = (0..48).map(|i| i % 2).collect();
        for dtype in DType::ALL {
            for shape in [&[][..], &[0], &[1], &[2, 3], &[1, 2, 3, 1]] {
                let n = shape.iter().product::<usize>() * dtype.size();
                let a = array(dtype, shape, &data[..n]);
                if dtype == DType::BF16 {
                    assert_eq!(to_bytes(&a).unwrap_err(), NpyError::NoNumpyType { dtype });
                    continue;
                }
                let bytes = to_bytes(&a).unwrap();
                assert_eq!((bytes.len() - n) % 64, 0);
                let b = from_bytes(&bytes).unwrap();
                assert_eq!((b.dtype, b.shape.as_slice(), b.data.bytes()), (dtype, shape, &data[..n]));
            }
        }
    }

    #[test]
    fn what_numpy_writes_is_read() {
        // np.save of np.array([[1,2,3],[4,5,6]], dtype='i1', order='F'), and of np.float32(1.5).
        let a =
            file(1, "{'descr': '|i1', 'fortran_order': True, 'shape': (2, 3), }   \n", &[1, 4, 2, 5, 3, 6]);
        let a = from_bytes(&a).unwrap();
        assert_eq!((a.shape, a.data.bytes()), (vec![2, 3], &[1u8, 2, 3, 4, 5, 6][..]));
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n";
        for version in [1, 2, 3] {
            let a = from_bytes(&file(version, header, &1.5f32.to_le_bytes())).unwrap();
            assert_eq!((a.dtype, a.shape, a.data.to_vec::<f32>()), (DType::F32, vec![], vec![1.5]));
        }
        let b =
            from_bytes(&file(1, "{'shape': (2,), 'descr': '|b1', 'fortran_order': False}", &[0, 7])).unwrap();
        assert_eq!(b.data.bytes(), [0, 1]);
    }

    #[test]
    fn altered_files_are_errors_or_tensors() {
        let mut state = 1u64;
        let mut draw = |n: usize| {
            // Knuth's MMIX generator; its low bits are poor.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        let whole = file(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", &[7; 24]);
        for _ in 0..5000 {
            let mut other = whole.clone();
            for _ in 0..1 + draw(4) {
                let at = draw(other.len());
                match draw(4) {
                    0 => other[at] = draw(256) as u8,
                    1 => other[at] = b"0129(),'\\{}:-"[draw(13)],
                    2 => other.insert(at, draw(256) as u8),
                    _ => drop(other.remove(at)),
                }
            }
            if let Ok(a) = from_bytes(&other) {
                assert_eq!(a.shape.iter().product::<usize>() * a.dtype.size(), a.data.len());
            }
        }
    }

    #[test]
    fn hostile_headers_are_errors() {
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
        for (from, to) in [
            ("<f4", ">f4"),
            ("<f4", "|O"),
            ("<f4", "<U1"),
            ("<f4", "<c8"),
            ("'<f4'", "[('a', '<f4')]"),
            ("(2,)", "(2"),
            ("(2,)", "(-1,)"),
            ("(2,)", "(2.0,)"),
            ("(2,)", "(__import__('os'),)"),
            ("(2,)", "(99999999999999999999,)"),
            ("(2,)", "(4294967296, 4294967296, 4294967296)"),
            ("(2,)", "(3,)"),
            ("False", "None"),
            ("'shape'", "'size'"),
            ("'descr': '<f4', ", ""),
            ("'descr'", "'shape': (2,), 'descr'"),
            (", }", ", } x"),
            ("{", "[{"),
        ] {
            let text = good.replace(from, to);
            assert!(from_bytes(&file(1, &text, &[0; 8])).is_err(), "{text}");
        }
        let many = format!("({})", "1,".repeat(1000));
        assert!(from_bytes(&file(2, &good.replace("(2,)", &many), &[0; 8])).is_err());
        assert!(from_bytes(&file(2, &good.replace("}", &" ".repeat(1 << 17)), &[0; 8])).is_err());
        let whole = file(1, good, &[0; 8]);
        for n in 0..whole.len() {
            assert!(from_bytes(&whole[..n]).is_err(), "cut to {n}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut other = whole.clone();
                other[at] ^= 1 << bit;
                let _ = from_bytes(&other);
            }
        }
    }
}
