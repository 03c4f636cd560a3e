//! How many neighbouring elements a thread takes at once.

use crate::access::{Motion, accesses_of, defined, for_each_loop, memories, motion, slot};
use crate::index::divisible;
use crate::mapping::Mapping;
use std::collections::HashMap;
use ttk_ir::kernel::{BufferRef, Inst, Kernel, LoopKind, Stmt};
use ttk_ir::{Binary, DType, Expr, Unary};

/// Bytes of the widest access of a thread.
const ACCESS: i64 = 16;

/// Registers that a thread may have filled with what it reads and writes, of 255.
pub(crate) const REGISTERS: i64 = 192;

/// Elements that a thread takes at once where functions of `f64` are computed: each is a hundred instructions and more,
/// and has a dozen registers of its own.
const LONG_FUNCTIONS: i64 = 2;

/// The number of neighbouring iterations of its vector loops that a thread takes, a power of 2: as many as
/// fill an access of the narrowest type with 16 bytes, if every access that moves by one element begins at
/// a multiple of that many.
///
/// A kernel without locals may have loops whose length is not a multiple; their rest is done one by one.
pub(crate) fn width(kernel: &Kernel, mapping: &Mapping) -> i64 {
    let mut width: i64 = 8;
    let mut narrowest: i64 = ACCESS;
    let memory = memories(kernel);
    for_each_loop(&mapping.body, &mut mapping.ranges(), &mut |stmt, _| {
        let Stmt::For { var, begin, end, kind: LoopKind::Vector, body } = stmt else { return };
        let inside = defined(body);
        // What is written before it is read must be read anew, and of two writes the second counts.
        let mut written: HashMap<usize, usize> = HashMap::new();
        let mut registers = 0;
        for a in accesses_of(body) {
            let BufferRef::Param(p) = a.buffer else { continue };
            let writes = written.entry(memory[slot(kernel, a.buffer)]).or_default();
            if *writes > 0 {
                width = 1;
            }
            *writes += usize::from(a.write);
            match motion(&a.index, var.0, &inside) {
                Motion::Still | Motion::Free => {}
                Motion::Strided => width = 1,
                Motion::Unit => {
                    let size = kernel.params[p as usize].dtype.size() as i64;
                    narrowest = narrowest.min(size);
                    // What is computed between numbers of 64 bits takes as many as they do.
                    registers += if size == 8 { 4 } else { 1 };
                    let first = at_begin(&a.index, var.0, begin);
                    while width > 1 && !divisible(&first, width) {
                        width /= 2;
                    }
                }
            }
        }
        width = narrowed(width, REGISTERS / registers.max(1));
        if has_long_functions(body) {
            width = narrowed(width, LONG_FUNCTIONS);
        }
        if !kernel.locals.is_empty() {
            while width > 1 && !divisible(&end.sub(begin), width) {
                width /= 2;
            }
        }
    });
    width.min(ACCESS / narrowest)
}

/// The index in the first iteration.
pub(crate) fn at_begin(index: &Expr, var: u32, begin: &Expr) -> Expr {
    index.substitute(&mut |a| (*a == ttk_ir::Atom::Var(var)).then(|| begin.clone()))
}

/// The largest power of 2 that is neither above `width` nor above `most`.
pub(crate) fn narrowed(width: i64, most: i64) -> i64 {
    let mut out = width;
    while out > 1 && out > most {
        out /= 2;
    }
    out
}

/// Whether functions of `f64` are computed that are sums of many terms: what is to be printed seldom.
pub(crate) fn has_long_functions(body: &[Stmt]) -> bool {
    body.iter().any(|stmt| match stmt {
        Stmt::Let { dtype: DType::F64, inst: Inst::Unary(op, _), .. } => match op {
            Unary::Exp | Unary::Expm1 | Unary::Log | Unary::Log1p => true,
            Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf | Unary::Sigmoid => true,
            Unary::Neg | Unary::Not | Unary::Abs | Unary::Relu => false,
            Unary::Floor | Unary::Round | Unary::Sqrt => false,
        },
        Stmt::Let { dtype: DType::F64, inst: Inst::Binary(op, ..), .. } => match op {
            Binary::Pow | Binary::Atan2 | Binary::Rem => true,
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Max | Binary::Min => false,
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => false,
        },
        Stmt::For { body, .. } | Stmt::If { body, .. } => has_long_functions(body),
        Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } => false,
        Stmt::Accumulate { .. } | Stmt::Update { .. } => false,
    })
}
