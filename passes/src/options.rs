//! What the user allows and expects of the rewriting passes.

/// Options of [`crate::optimize`]; part of the key under which a compiled graph is cached.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Options {
    /// Allows rewrites that change a float result by more than rounding where it is infinite, NaN,
    /// a negative zero or the difference of nearly equal numbers (`x * 0` to `0`, `x - x` to `0`,
    /// `exp(x) / sum(exp(x))` to its overflow-safe form).
    pub fast_math: bool,
    /// The inputs are weights that change rarely, so that work moved from activations to weights is
    /// taken as cheap, and per-channel affine maps fold into the weights of a product before them.
    pub inference: bool,
    /// Computes values again after the peak of memory however low that is; otherwise where it is high.
    pub save_memory: bool,
}
