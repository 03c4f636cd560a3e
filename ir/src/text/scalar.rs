//! Constants as text that gives back the same bits.

use super::error::{ParseError, ParseErrorKind};
use super::lex::{Lexer, Token};
use crate::dtype::{DType, Scalar};
use half::{bf16, f16};

/// A constant: the shortest decimal that reads back, `inf`, `nan`, `true`, or the bits of another NaN as
/// `0x...`.
pub(crate) fn scalar_text(value: Scalar) -> String {
    let dtype = value.dtype;
    match dtype {
        DType::Bool => if value.bits & 1 == 1 { "true" } else { "false" }.to_string(),
        DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => value.as_i64().to_string(),
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
            let v = value.as_f64();
            if v.is_nan() {
                let plain = Scalar::from_f64(dtype, f64::NAN);
                return if value == plain { "nan".into() } else { format!("{:#x}", value.bits) };
            }
            // `Debug` keeps the sign of zero and the point of a whole number.
            if dtype == DType::F64 { format!("{v:?}") } else { format!("{:?}", v as f32) }
        }
    }
}

/// A constant as it was written, before its type is known.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Literal {
    pub(crate) text: String,
}

impl Literal {
    /// Takes `-`, a number or a word.
    pub(crate) fn parse(lexer: &mut Lexer<'_>) -> Result<Literal, ParseError> {
        let sign = if lexer.eat("-")? { "-" } else { "" };
        match *lexer.peek() {
            Token::Number(text) | Token::Word(text) => {
                lexer.next()?;
                Ok(Literal { text: format!("{sign}{text}") })
            }
            _ => Err(lexer.unexpected("a constant")),
        }
    }

    /// The value as a type; `None` where it has none there.
    pub(crate) fn value(&self, dtype: DType) -> Result<Scalar, ParseErrorKind> {
        let bad = || ParseErrorKind::BadScalar { text: self.text.chars().take(40).collect(), dtype };
        self.read(dtype).ok_or_else(bad)
    }

    /// The value as a whole number.
    pub(crate) fn integer(&self, max: i64) -> Option<i64> {
        self.text.parse::<i64>().ok().filter(|v| v.unsigned_abs() <= max as u64)
    }

    fn read(&self, dtype: DType) -> Option<Scalar> {
        let text = self.text.as_str();
        match dtype {
            DType::Bool => match text {
                "true" => Some(Scalar::one(dtype)),
                "false" => Some(Scalar::zero(dtype)),
                _ => None,
            },
            DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
                let (low, high) = dtype.int_range()?;
                let value = text.parse::<i64>().ok().filter(|v| (low..=high).contains(v))?;
                Some(Scalar::from_i64(dtype, value))
            }
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
                if let Some(hex) = text.strip_prefix("0x") {
                    let bits = u64::from_str_radix(hex, 16).ok()?;
                    let fits = dtype == DType::F64 || bits >> (8 * dtype.size()) == 0;
                    return fits.then_some(Scalar { dtype, bits });
                }
                // Of the words that the standard library reads, only these two.
                let word = text.trim_start_matches('-');
                if word.starts_with(|c: char| c.is_alphabetic()) && word != "inf" && word != "nan" {
                    return None;
                }
                let bits = match dtype {
                    DType::F64 => text.parse::<f64>().ok()?.to_bits(),
                    DType::F16 => u64::from(f16::from_f32(text.parse().ok()?).to_bits()),
                    DType::BF16 => u64::from(bf16::from_f32(text.parse().ok()?).to_bits()),
                    _ => u64::from(text.parse::<f32>().ok()?.to_bits()),
                };
                Some(Scalar { dtype, bits })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sixteen_bit_float_reads_back() {
        for dtype in [DType::F16, DType::BF16] {
            for bits in 0..=u16::MAX as u64 {
                let value = Scalar { dtype, bits };
                let text = scalar_text(value);
                assert_eq!(Literal { text: text.clone() }.value(dtype).unwrap(), value, "{text}");
            }
        }
    }

    #[test]
    fn edges_of_each_type() {
        for (dtype, text, good) in [
            (DType::I8, "-128", true),
            (DType::I8, "128", false),
            (DType::U8, "-1", false),
            (DType::I64, "-9223372036854775808", true),
            (DType::I64, "9223372036854775808", false),
            (DType::Bool, "1", false),
            (DType::F32, "infinity", false),
            (DType::F32, "0x1ffffffff", false),
        ] {
            assert_eq!(Literal { text: text.into() }.value(dtype).is_ok(), good, "{dtype} {text}");
        }
        for value in [f64::NAN, f64::INFINITY, -f64::INFINITY, -0.0, 5e-324, f64::MAX, 0.1] {
            let value = Scalar::from_f64(DType::F64, value);
            assert_eq!(Literal { text: scalar_text(value) }.value(DType::F64).unwrap(), value);
        }
        let odd = Scalar { dtype: DType::F32, bits: 0xffc0_0001 };
        assert_eq!(Literal { text: scalar_text(odd) }.value(DType::F32).unwrap(), odd);
    }
}
