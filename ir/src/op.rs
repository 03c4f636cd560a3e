//! The operations of the graph IR.
//!
//! A fact about an operation stands here and nowhere else: the elementwise operations are rows of two
//! tables, the others are variants of [`Op`] with methods that say what they are. No `match` over
//! operations in any crate may have a `_` arm, so that a new operation stops the build until every
//! place has decided about it.

use crate::dtype::{DType, Scalar};
use crate::shape::{Dim, Shape};
use smallvec::SmallVec;

/// Which element types an elementwise operation takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Domain {
    /// Floating point only.
    Float,
    /// Integers and floats.
    Number,
    /// Integers and `bool`.
    Bits,
    /// Integers only.
    Int,
}

impl Domain {
    pub fn contains(self, dtype: DType) -> bool {
        match self {
            Domain::Float => dtype.is_float(),
            Domain::Number => dtype != DType::Bool,
            Domain::Bits => !dtype.is_float(),
            Domain::Int => dtype.is_int(),
        }
    }
}

macro_rules! elementwise_table {
    ($(#[$doc:meta])* $table:ident($($arg:ident),*) {
        $($(#[$row_doc:meta])* $variant:ident $name:literal $domain:ident $weight:literal
          $float:expr, $int:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum $table { $($(#[$row_doc])* $variant,)* }

        impl $table {
            pub const ALL: &'static [$table] = &[$($table::$variant,)*];

            /// The name in the text form.
            pub const fn name(self) -> &'static str {
                match self { $($table::$variant => $name,)* }
            }

            pub fn from_name(name: &str) -> Option<$table> {
                match name { $($name => Some($table::$variant),)* _ => None }
            }

            pub const fn domain(self) -> Domain {
                match self { $($table::$variant => Domain::$domain,)* }
            }

            /// Cost of one element, in additions.
            pub const fn weight(self) -> u32 {
                match self { $($table::$variant => $weight,)* }
            }

            /// The value in double precision; the caller rounds to the operation's type.
            pub fn eval_float(self, $($arg: f64),*) -> f64 {
                match self { $($table::$variant => $float,)* }
            }

            /// The value on integers (`bool` as 0 and 1); the caller wraps to the operation's type.
            pub fn eval_int(self, $($arg: i64),*) -> i64 {
                match self { $($table::$variant => $int,)* }
            }
        }
    };
}

mod scalar;
use scalar::{erf, float_only, max_nan, min_nan, pow_int, round_even, shift, sigmoid};

elementwise_table! {
    /// Elementwise operations of one operand; the result has the operand's type.
    Unary(x) {
        Neg "neg" Number 1 -x, x.wrapping_neg();
        /// Logical not of `bool`, bitwise complement of integers.
        Not "not" Bits 1 float_only(x), !x;
        Abs "abs" Number 1 x.abs(), x.wrapping_abs();
        Floor "floor" Float 1 x.floor(), x;
        /// To the nearest integer, ties to even.
        Round "round" Float 1 round_even(x), x;
        Sqrt "sqrt" Float 4 x.sqrt(), x;
        Exp "exp" Float 12 x.exp(), x;
        Expm1 "expm1" Float 18 x.exp_m1(), x;
        /// Natural logarithm.
        Log "log" Float 14 x.ln(), x;
        Log1p "log1p" Float 18 x.ln_1p(), x;
        Sin "sin" Float 16 x.sin(), x;
        Cos "cos" Float 16 x.cos(), x;
        Tanh "tanh" Float 18 x.tanh(), x;
        Erf "erf" Float 20 erf(x), x;
        /// `max(x, 0)`, with slope 0 at 0; a NaN stays.
        Relu "relu" Number 1 if x <= 0.0 { 0.0 } else { x }, x.max(0);
        /// `1 / (1 + exp(-x))`
        Sigmoid "sigmoid" Float 18 sigmoid(x), x;
    }
}

elementwise_table! {
    /// Elementwise operations of two operands of one type; the result has that type.
    Binary(a, b) {
        Add "add" Number 1 a + b, a.wrapping_add(b);
        Sub "sub" Number 1 a - b, a.wrapping_sub(b);
        Mul "mul" Number 1 a * b, a.wrapping_mul(b);
        /// IEEE division; integers truncate toward zero, and anything over 0 is 0.
        Div "div" Number 4 a / b, if b == 0 { 0 } else { a.wrapping_div(b) };
        /// Remainder with the sign of the dividend (C's `fmod` and `%`); integers modulo 0 give 0.
        Rem "rem" Number 16 a % b, if b == 0 { 0 } else { a.wrapping_rem(b) };
        /// Power; a negative integer exponent gives the truncated reciprocal.
        Pow "pow" Number 30 a.powf(b), pow_int(a, b);
        /// The larger; a NaN operand gives NaN.
        Max "max" Number 1 max_nan(a, b), a.max(b);
        /// The smaller; a NaN operand gives NaN.
        Min "min" Number 1 min_nan(a, b), a.min(b);
        Atan2 "atan2" Float 24 a.atan2(b), a;
        And "and" Bits 1 float_only(a + b), a & b;
        Or "or" Bits 1 float_only(a + b), a | b;
        Xor "xor" Bits 1 float_only(a + b), a ^ b;
        /// Left shift; a count outside `0..bits` gives 0.
        Shl "shl" Int 1 float_only(a + b), shift(a, b, false);
        /// Right shift, arithmetic for signed types; a count outside `0..bits` gives the sign.
        Shr "shr" Int 1 float_only(a + b), shift(a, b, true);
    }
}

impl Binary {
    /// `f(a, b) == f(b, a)`, bit for bit but for the payload of a NaN.
    pub const fn is_commutative(self) -> bool {
        match self {
            Binary::Add | Binary::Mul | Binary::Max | Binary::Min => true,
            Binary::And | Binary::Or | Binary::Xor => true,
            Binary::Sub | Binary::Div | Binary::Rem | Binary::Pow | Binary::Atan2 => false,
            Binary::Shl | Binary::Shr => false,
        }
    }
}

/// Comparisons; the operands have one type and the result is `bool`. Every comparison with a NaN is
/// false but `Ne`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
}

impl Cmp {
    pub const ALL: [Cmp; 4] = [Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le];

    pub const fn name(self) -> &'static str {
        match self {
            Cmp::Eq => "eq",
            Cmp::Ne => "ne",
            Cmp::Lt => "lt",
            Cmp::Le => "le",
        }
    }

    pub fn from_name(name: &str) -> Option<Cmp> {
        Cmp::ALL.into_iter().find(|c| c.name() == name)
    }

    pub fn eval<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Cmp::Eq => a == b,
            Cmp::Ne => a != b,
            Cmp::Lt => a < b,
            Cmp::Le => a <= b,
        }
    }
}

/// How a reduction or a scan combines elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ReduceOp {
    Sum,
    Prod,
    Max,
    Min,
}

impl ReduceOp {
    pub const ALL: [ReduceOp; 4] = [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min];

    pub const fn name(self) -> &'static str {
        match self {
            ReduceOp::Sum => "sum",
            ReduceOp::Prod => "prod",
            ReduceOp::Max => "max",
            ReduceOp::Min => "min",
        }
    }

    pub fn from_name(name: &str) -> Option<ReduceOp> {
        ReduceOp::ALL.into_iter().find(|r| r.name() == name)
    }

    /// The elementwise operation that combines two partial results.
    pub const fn combine(self) -> Binary {
        match self {
            ReduceOp::Sum => Binary::Add,
            ReduceOp::Prod => Binary::Mul,
            ReduceOp::Max => Binary::Max,
            ReduceOp::Min => Binary::Min,
        }
    }

    /// What combining with changes nothing: the result of reducing no elements.
    pub fn identity(self, dtype: DType) -> Scalar {
        match (self, dtype.int_range()) {
            (ReduceOp::Sum, _) => Scalar::zero(dtype),
            (ReduceOp::Prod, _) => Scalar::one(dtype),
            (ReduceOp::Max, Some((low, _))) => Scalar::from_i64(dtype, low),
            (ReduceOp::Min, Some((_, high))) => Scalar::from_i64(dtype, high),
            (ReduceOp::Max, None) => Scalar::from_f64(dtype, f64::NEG_INFINITY),
            (ReduceOp::Min, None) => Scalar::from_f64(dtype, f64::INFINITY),
        }
    }
}

/// How `scatter` joins an update with what is already there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ScatterOp {
    /// The update of the highest position in row-major order wins.
    Set,
    Add,
    Mul,
    Max,
    Min,
}

impl ScatterOp {
    pub const ALL: [ScatterOp; 5] =
        [ScatterOp::Set, ScatterOp::Add, ScatterOp::Mul, ScatterOp::Max, ScatterOp::Min];

    pub const fn name(self) -> &'static str {
        match self {
            ScatterOp::Set => "set",
            ScatterOp::Add => "add",
            ScatterOp::Mul => "mul",
            ScatterOp::Max => "max",
            ScatterOp::Min => "min",
        }
    }

    pub fn from_name(name: &str) -> Option<ScatterOp> {
        ScatterOp::ALL.into_iter().find(|s| s.name() == name)
    }

    /// The elementwise operation that joins, or `None` where the update replaces.
    pub const fn combine(self) -> Option<Binary> {
        match self {
            ScatterOp::Set => None,
            ScatterOp::Add => Some(Binary::Add),
            ScatterOp::Mul => Some(Binary::Mul),
            ScatterOp::Max => Some(Binary::Max),
            ScatterOp::Min => Some(Binary::Min),
        }
    }
}

/// One axis of `slice` and `update`: positions `start + i * step` for `i` in `0..len`.
///
/// `step` is not zero; a negative one walks backwards from `start`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SliceDim {
    pub start: Dim,
    pub len: Dim,
    pub step: i64,
}

impl SliceDim {
    /// The whole of an axis.
    pub fn all(len: Dim) -> SliceDim {
        SliceDim { start: Dim::Fixed(0), len, step: 1 }
    }

    /// Whether this takes all of an axis of size `dim` in order.
    pub fn is_all(&self, dim: &Dim) -> bool {
        self.start == Dim::Fixed(0) && self.step == 1 && self.len == *dim
    }
}

/// One axis of `pad`: `low` elements before, `high` after, `interior` between neighbours; none negative.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PadDim {
    pub low: Dim,
    pub high: Dim,
    pub interior: i64,
}

impl PadDim {
    pub fn none() -> PadDim {
        PadDim { low: Dim::Fixed(0), high: Dim::Fixed(0), interior: 0 }
    }

    pub fn is_none(&self) -> bool {
        *self == PadDim::none()
    }
}

/// One axis of `window` and `fold`: windows of `size` elements, `dilation` apart, a new one each
/// `stride`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WindowDim {
    pub axis: u8,
    pub size: i64,
    pub stride: i64,
    pub dilation: i64,
}

impl WindowDim {
    /// How many windows fit on an axis of size `dim`.
    pub fn count(&self, dim: &Dim) -> Dim {
        let span = self.dilation.wrapping_mul(self.size.wrapping_sub(1)).wrapping_add(1);
        dim.offset(span.wrapping_neg()).floor_div(self.stride).offset(1)
    }
}

/// Axis numbers, outermost first.
pub type Axes = SmallVec<[u8; 4]>;

/// A pure operation on tensors; one result. Shape and type rules: [`crate::infer::infer`].
///
/// There is no implicit broadcasting and no promotion: operands of an elementwise operation have one
/// type and one shape.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Op {
    /// The `index`-th input of the graph.
    Param {
        index: u32,
        dtype: DType,
        shape: Shape,
    },
    /// Every element is `value`.
    Const {
        value: Scalar,
        shape: Shape,
    },
    /// Every element is its own position along `axis`; integers and floats.
    Iota {
        axis: u8,
        dtype: DType,
        shape: Shape,
    },
    /// 32-bit words of a random stream, as `i32` bit patterns in row-major order.
    ///
    /// Operand: the generator's state, `i64[2]` = (seed, words drawn before) or `i64[3]` with the number of threads
    /// ([`RandomStream::state_len`]).
    RandomBits {
        stream: RandomStream,
        shape: Shape,
    },

    Unary(Unary),
    Binary(Binary),
    Cmp(Cmp),
    /// `select(condition: bool, if_true, if_false)`.
    Select,
    /// Conversion of value: floats to integers truncate and saturate, NaN to 0; to `bool` is `!= 0`.
    Cast(DType),
    /// The same bits as another type of the same size.
    Bitcast(DType),

    /// The same elements in row-major order under another shape.
    Reshape(Shape),
    /// Axis `i` of the result is axis `perm[i]` of the operand.
    Permute(Axes),
    /// Axes of size 1 repeated to the given shape; same rank.
    Expand(Shape),
    Slice(Box<[SliceDim]>),
    /// `value` around and between the elements.
    Pad {
        dims: Box<[PadDim]>,
        value: Scalar,
    },
    /// Any number of operands joined along `axis`.
    Concat {
        axis: u8,
    },
    /// `update(operand, value)`: the operand with `value` written over the slice `dims`.
    Update(Box<[SliceDim]>),
    /// Sliding windows: each windowed axis becomes its window count, and the window sizes follow as new
    /// last axes in the order of `dims`.
    Window(Box<[WindowDim]>),
    /// The adjoint of `window`: sums window elements back to the axes, whose sizes are `sizes`.
    Fold {
        dims: Box<[WindowDim]>,
        sizes: Shape,
    },

    /// `gather(data, index)`: `out[.., i, ..] = data[.., index[.., i, ..], ..]` along `axis`; all other
    /// axes have equal sizes. `index` is `i64` or `i32`, not negative; one out of range is an error at
    /// run time.
    Gather {
        axis: u8,
    },
    /// `scatter(operand, index, updates)`: the adjoint placement of `gather`.
    Scatter {
        axis: u8,
        mode: ScatterOp,
    },

    /// The reduced axes keep size 1. Axes are sorted.
    Reduce {
        op: ReduceOp,
        axes: Axes,
    },
    /// Inclusive scan along `axis`, from its end when `reverse`.
    Scan {
        op: ReduceOp,
        axis: u8,
        reverse: bool,
    },
    /// The `i64` positions that sort `axis`; stable, NaN last when ascending and first when descending.
    Argsort {
        axis: u8,
        descending: bool,
    },
    /// `dot(lhs, rhs)`: sums of products over paired axes.
    ///
    /// Result axes: the batch axes in order, then the free axes of `lhs`, then those of `rhs`.
    /// 16-bit floats accumulate in `f32`.
    Dot {
        batch: SmallVec<[(u8, u8); 2]>,
        contract: SmallVec<[(u8, u8); 2]>,
    },

    /// The operand, through which no derivative passes.
    Detach,
    /// The operand; no rewrite moves anything across it.
    Barrier,
    /// A kernel of the runtime by name; `result` is its type.
    Custom {
        name: Box<str>,
        attributes: Box<[i64]>,
        dtype: DType,
        shape: Shape,
    },
}

/// The recipe of a random stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum RandomStream {
    /// The Mersenne twister MT19937 seeded as PyTorch's CPU generator is.
    Mt19937,
    /// Philox4x32-10: the blocks of four words of one thread of PyTorch's CUDA generator, one after the other.
    Philox,
    /// Philox4x32-10 as PyTorch's kernels draw from it, as are those below: `t` threads take rounds, in each of
    /// which a thread draws a block of four words from a subsequence of its own. Here its elements of a round, one
    /// word each, lie `t` apart.
    PhiloxLanes,
    /// Two words for each element, of which a thread makes two in a round, `t` apart.
    PhiloxPairs,
    /// Two words for each element, of which a thread makes four in a round, `t` apart: two of them from the first
    /// two words of the block, two from the others.
    PhiloxTwins,
    /// Neighbouring elements, one word each, four of them a thread and round.
    PhiloxVectors,
    /// Neighbouring elements, one word each, two of them a thread at a time, two times from each block.
    PhiloxHalves,
}

impl RandomStream {
    pub const fn name(self) -> &'static str {
        match self {
            RandomStream::Mt19937 => "mt19937",
            RandomStream::Philox => "philox",
            RandomStream::PhiloxLanes => "philox_lanes",
            RandomStream::PhiloxPairs => "philox_pairs",
            RandomStream::PhiloxTwins => "philox_twins",
            RandomStream::PhiloxVectors => "philox_vectors",
            RandomStream::PhiloxHalves => "philox_halves",
        }
    }

    /// All of them, each at the place of its number.
    pub const ALL: [RandomStream; 7] = [
        RandomStream::Mt19937,
        RandomStream::Philox,
        RandomStream::PhiloxLanes,
        RandomStream::PhiloxPairs,
        RandomStream::PhiloxTwins,
        RandomStream::PhiloxVectors,
        RandomStream::PhiloxHalves,
    ];

    pub fn from_name(name: &str) -> Option<RandomStream> {
        RandomStream::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Numbers of the operand: seed, words drawn before, and the number of threads where that makes a difference.
    pub const fn state_len(self) -> usize {
        match self {
            RandomStream::Mt19937 | RandomStream::Philox => 2,
            RandomStream::PhiloxLanes | RandomStream::PhiloxPairs | RandomStream::PhiloxTwins => 3,
            RandomStream::PhiloxVectors | RandomStream::PhiloxHalves => 3,
        }
    }
}

/// What the passes need to know of an operation's shape of computation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// No operand, or only a generator's state.
    Leaf,
    /// Each result element from the operands' elements at the same position.
    Elementwise,
    /// A rearrangement: each result element is one operand element or a constant.
    View,
    /// Position depends on data.
    Indexed,
    /// Combines many elements into one.
    Structured,
    /// The operand itself.
    Fence,
    /// Unknown to the compiler.
    Escape,
}

impl Op {
    /// The keyword in the text form.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Param { .. } => "param",
            Op::Const { .. } => "const",
            Op::Iota { .. } => "iota",
            Op::RandomBits { .. } => "random_bits",
            Op::Unary(u) => u.name(),
            Op::Binary(b) => b.name(),
            Op::Cmp(_) => "cmp",
            Op::Select => "select",
            Op::Cast(_) => "cast",
            Op::Bitcast(_) => "bitcast",
            Op::Reshape(_) => "reshape",
            Op::Permute(_) => "permute",
            Op::Expand(_) => "expand",
            Op::Slice(_) => "slice",
            Op::Pad { .. } => "pad",
            Op::Concat { .. } => "concat",
            Op::Update(_) => "update",
            Op::Window(_) => "window",
            Op::Fold { .. } => "fold",
            Op::Gather { .. } => "gather",
            Op::Scatter { .. } => "scatter",
            Op::Reduce { .. } => "reduce",
            Op::Scan { .. } => "scan",
            Op::Argsort { .. } => "argsort",
            Op::Dot { .. } => "dot",
            Op::Detach => "detach",
            Op::Barrier => "barrier",
            Op::Custom { .. } => "custom",
        }
    }

    /// The number of operands, or `None` where any number will do (`concat`, `custom`).
    pub fn arity(&self) -> Option<usize> {
        match self {
            Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } => Some(0),
            Op::RandomBits { .. } | Op::Unary(_) | Op::Cast(_) | Op::Bitcast(_) => Some(1),
            Op::Binary(_) | Op::Cmp(_) => Some(2),
            Op::Select => Some(3),
            Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } => Some(1),
            Op::Concat { .. } => None,
            Op::Update(_) => Some(2),
            Op::Window(_) | Op::Fold { .. } => Some(1),
            Op::Gather { .. } => Some(2),
            Op::Scatter { .. } => Some(3),
            Op::Reduce { .. } | Op::Scan { .. } | Op::Argsort { .. } => Some(1),
            Op::Dot { .. } => Some(2),
            Op::Detach | Op::Barrier => Some(1),
            Op::Custom { .. } => None,
        }
    }

    pub fn family(&self) -> Family {
        match self {
            Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => Family::Leaf,
            Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => {
                Family::Elementwise
            }
            Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } => Family::View,
            Op::Concat { .. } | Op::Update(_) | Op::Window(_) => Family::View,
            Op::Gather { .. } | Op::Scatter { .. } => Family::Indexed,
            Op::Fold { .. } | Op::Reduce { .. } | Op::Scan { .. } | Op::Argsort { .. } | Op::Dot { .. } => {
                Family::Structured
            }
            Op::Detach | Op::Barrier => Family::Fence,
            Op::Custom { .. } => Family::Escape,
        }
    }

    pub fn is_elementwise(&self) -> bool {
        self.family() == Family::Elementwise
    }

    /// Whether swapping the two operands changes nothing.
    pub fn is_commutative(&self) -> bool {
        match self {
            Op::Binary(b) => b.is_commutative(),
            Op::Cmp(c) => matches!(c, Cmp::Eq | Cmp::Ne),
            Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => false,
            Op::Unary(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) | Op::Reshape(_) => false,
            Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } | Op::Concat { .. } => false,
            Op::Update(_) | Op::Window(_) | Op::Fold { .. } | Op::Gather { .. } => false,
            Op::Scatter { .. } | Op::Reduce { .. } | Op::Scan { .. } | Op::Argsort { .. } => false,
            Op::Dot { .. } | Op::Detach | Op::Barrier | Op::Custom { .. } => false,
        }
    }
}
