//! Einstein summation: a parser, and a plan onto permute, reduce and dot.

use super::{Val, layout};
use thiserror::Error;
use ttk_ir::{Builder, Dim, Shape};

/// Why an equation does not fit its operands. The texts are PyTorch's.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum EinsumError {
    #[error(
        "einsum(): invalid subscript given at index {index} in the equation string, subscripts must be in [a-zA-Z]"
    )]
    BadSubscript { index: usize },
    #[error("einsum(): found '.' for operand {operand} that is not part of any ellipsis")]
    StrayDot { operand: usize },
    #[error("einsum(): fewer operands were provided than specified in the equation")]
    TooFewOperands,
    #[error("einsum(): more operands were provided than specified in the equation")]
    TooManyOperands,
    #[error("einsum(): the number of subscripts in the equation ({subscripts}) does not match the number of dimensions ({dims}) for operand {operand}{}", if *ellipsis { " and no ellipsis was given" } else { "" })]
    RankMismatch { operand: usize, subscripts: usize, dims: usize, ellipsis: bool },
    #[error(
        "einsum(): operands do not broadcast with remapped shapes [original->remapped]: subscript {subscript} has size {size} for operand {operand} which does not broadcast with previously seen size {seen}"
    )]
    SizeMismatch { subscript: char, operand: usize, size: i64, seen: i64 },
    #[error("einsum(): output subscript {subscript} does not appear in the equation for any input operand")]
    UnknownOutput { subscript: char },
    #[error("einsum(): output subscript {subscript} appears more than once in the output")]
    RepeatedOutput { subscript: char },
}

/// What an axis is called: a letter, or the `i`-th axis from the end of the ellipsis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Label {
    Ellipsis(u8),
    Letter(char),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Ellipsis,
    Letter(char),
}

fn tokens(text: &str, offset: usize, operand: usize) -> Result<Vec<Token>, EinsumError> {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b' ' => at += 1,
            b'.' => {
                if !text[at..].starts_with("...") || out.contains(&Token::Ellipsis) {
                    return Err(EinsumError::StrayDot { operand });
                }
                out.push(Token::Ellipsis);
                at += 3;
            }
            c if c.is_ascii_alphabetic() => {
                out.push(Token::Letter(c as char));
                at += 1;
            }
            _ => return Err(EinsumError::BadSubscript { index: offset + at }),
        }
    }
    Ok(out)
}

/// An operand whose axes have distinct labels.
struct Labelled<'r, B: Builder> {
    value: Val<'r, B>,
    labels: Vec<Label>,
}

/// The sum of products that `equation` describes (`"bij,bjk->bik"`), contracted from left to right.
///
/// # Errors
/// An equation that cannot be read, or that does not fit the operands' shapes.
pub fn einsum<'r, B: Builder>(equation: &str, operands: &[Val<'r, B>]) -> Result<Val<'r, B>, EinsumError> {
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation, None),
    };
    let parts: Vec<&str> = left.split(',').collect();
    if parts.len() > operands.len() {
        return Err(EinsumError::TooFewOperands);
    }
    if parts.len() < operands.len() {
        return Err(EinsumError::TooManyOperands);
    }
    let mut labelled = Vec::with_capacity(operands.len());
    let mut written = Vec::new();
    let mut offset = 0;
    for (i, (part, x)) in parts.iter().zip(operands).enumerate() {
        let tokens = tokens(part, offset, i)?;
        labelled.push(label(&tokens, x, i)?);
        written.extend(tokens);
        offset += part.len() + 1;
    }
    let output = output_labels(right, &labelled, &written, left.len() + 2)?;
    align(&mut labelled)?;

    let mut rest = labelled.into_iter();
    let Some(mut acc) = rest.next() else { return Err(EinsumError::TooFewOperands) };
    let mut queue: Vec<Labelled<'r, B>> = rest.collect();
    while !queue.is_empty() {
        let next = queue.remove(0);
        let needed = |l: Label| output.contains(&l) || queue.iter().any(|q| q.labels.contains(&l));
        acc = contract(&acc, &next, &needed);
    }
    let acc = sum_out(&acc, &|l| output.contains(&l));
    let perm: Vec<usize> = output.iter().filter_map(|l| acc.labels.iter().position(|m| m == l)).collect();
    Ok(acc.value.permute(&perm))
}

/// Names the axes of an operand, and takes the diagonal of those that share a name.
fn label<'r, B: Builder>(
    tokens: &[Token],
    x: &Val<'r, B>,
    operand: usize,
) -> Result<Labelled<'r, B>, EinsumError> {
    let letters = tokens.iter().filter(|t| **t != Token::Ellipsis).count();
    let ellipsis = tokens.contains(&Token::Ellipsis);
    if letters > x.rank() || (!ellipsis && letters != x.rank()) {
        let dims = x.rank();
        return Err(EinsumError::RankMismatch { operand, subscripts: letters, dims, ellipsis: !ellipsis });
    }
    let hidden = x.rank() - letters;
    let mut labels = Vec::new();
    for token in tokens {
        match token {
            Token::Ellipsis => labels.extend((0..hidden).rev().map(|k| Label::Ellipsis(k as u8))),
            Token::Letter(c) => labels.push(Label::Letter(*c)),
        }
    }
    let mut value = x.clone();
    while let Some((first, second)) = repeated(&labels) {
        let (n, m) = (value.size(first), value.size(second));
        if n != m {
            let subscript = name(labels[first]);
            return Err(EinsumError::SizeMismatch { subscript, operand, size: m, seen: n });
        }
        value = layout::diagonal(&value, 0, first, second);
        let kept = labels[first];
        labels = (0..labels.len()).filter(|&i| i != first && i != second).map(|i| labels[i]).collect();
        labels.push(kept);
    }
    Ok(Labelled { value, labels })
}

fn repeated(labels: &[Label]) -> Option<(usize, usize)> {
    let find = |(i, l): (usize, &Label)| labels[i + 1..].iter().position(|m| m == l).map(|j| (i, i + 1 + j));
    labels.iter().enumerate().find_map(find)
}

fn name(label: Label) -> char {
    match label {
        Label::Letter(c) => c,
        Label::Ellipsis(_) => '.',
    }
}

/// The labels of the result: as said on the right, or the ellipsis and then every letter that was
/// `written` once, sorted.
fn output_labels<B: Builder>(
    right: Option<&str>,
    operands: &[Labelled<'_, B>],
    written: &[Token],
    offset: usize,
) -> Result<Vec<Label>, EinsumError> {
    let all = || operands.iter().flat_map(|o| o.labels.iter().copied());
    let mut hidden: Vec<Label> = all().filter(|l| matches!(l, Label::Ellipsis(_))).collect();
    hidden.sort_unstable_by(|a, b| b.cmp(a));
    hidden.dedup();
    let Some(right) = right else {
        let mut letters: Vec<char> = Vec::new();
        for token in written {
            match token {
                Token::Letter(c) if written.iter().filter(|t| *t == token).count() == 1 => letters.push(*c),
                Token::Letter(_) | Token::Ellipsis => {}
            }
        }
        letters.sort_unstable();
        hidden.extend(letters.into_iter().map(Label::Letter));
        return Ok(hidden);
    };
    let mut out = Vec::new();
    for token in tokens(right, offset, operands.len())? {
        match token {
            Token::Ellipsis => out.extend(hidden.iter().copied()),
            Token::Letter(c) => {
                let label = Label::Letter(c);
                if !all().any(|l| l == label) {
                    return Err(EinsumError::UnknownOutput { subscript: c });
                }
                if out.contains(&label) {
                    return Err(EinsumError::RepeatedOutput { subscript: c });
                }
                out.push(label);
            }
        }
    }
    Ok(out)
}

/// Gives axes of one label one size; those of size 1 grow.
fn align<'r, B: Builder>(operands: &mut [Labelled<'r, B>]) -> Result<(), EinsumError> {
    let mut sizes: Vec<(Label, i64)> = Vec::new();
    for (operand, o) in operands.iter().enumerate() {
        for (axis, &label) in o.labels.iter().enumerate() {
            let size = o.value.size(axis);
            match sizes.iter_mut().find(|(l, _)| *l == label) {
                None => sizes.push((label, size)),
                Some((_, seen)) if *seen == 1 => *seen = size,
                Some((_, seen)) if size == 1 || size == *seen => {}
                Some((_, seen)) => {
                    let seen = *seen;
                    return Err(EinsumError::SizeMismatch { subscript: name(label), operand, size, seen });
                }
            }
        }
    }
    for o in operands {
        let size = |l: &Label| sizes.iter().find(|(m, _)| m == l).map_or(1, |&(_, n)| n);
        let shape: Shape = o.labels.iter().map(|l| Dim::Fixed(size(l))).collect();
        o.value = o.value.broadcast_to(&shape);
    }
    Ok(())
}

/// Sums over the axes that nothing else needs.
fn sum_out<'r, B: Builder>(x: &Labelled<'r, B>, needed: &dyn Fn(Label) -> bool) -> Labelled<'r, B> {
    let axes: Vec<usize> = (0..x.labels.len()).filter(|&a| !needed(x.labels[a])).collect();
    Labelled {
        value: x.value.sum(&axes).squeeze(&axes),
        labels: x.labels.iter().copied().filter(|&l| needed(l)).collect(),
    }
}

fn contract<'r, B: Builder>(
    x: &Labelled<'r, B>,
    y: &Labelled<'r, B>,
    needed: &dyn Fn(Label) -> bool,
) -> Labelled<'r, B> {
    let x = sum_out(x, &|l| needed(l) || y.labels.contains(&l));
    let y = sum_out(y, &|l| needed(l) || x.labels.contains(&l));
    let (mut batch, mut over) = (Vec::new(), Vec::new());
    let mut labels = Vec::new();
    for (i, &l) in x.labels.iter().enumerate() {
        match y.labels.iter().position(|&m| m == l) {
            Some(j) if needed(l) => {
                batch.push((i, j));
                labels.push(l);
            }
            Some(j) => over.push((i, j)),
            None => {}
        }
    }
    labels.extend(x.labels.iter().copied().filter(|l| !y.labels.contains(l)));
    labels.extend(y.labels.iter().copied().filter(|l| !x.labels.contains(l)));
    Labelled { value: x.value.dot(&y.value, &batch, &over), labels }
}
