//! The operators by the names of the cases.

use ttk_frontend::composite::arithmetic::{self as ar, Rounding};
use ttk_frontend::composite::attention::{Attention, scaled_dot_product_attention};
use ttk_frontend::composite::convolution::{Convolution, conv_transpose, convolution};
use ttk_frontend::composite::embedding::{self as em, BagMode};
use ttk_frontend::composite::indexing::IndexReduce;
use ttk_frontend::composite::interpolate::{Axis, Resample, interpolate, interpolate_antialias};
use ttk_frontend::composite::loss::{self as lo, Reduction};
use ttk_frontend::composite::loss_margin as lm;
use ttk_frontend::composite::normalization::{self as no, RunningStats};
use ttk_frontend::composite::order::{self as od, Interpolation};
use ttk_frontend::composite::padding::{Padding, pad};
use ttk_frontend::composite::patches::{self as pa, Patch};
use ttk_frontend::composite::pooling::{self as po, Pool};
use ttk_frontend::composite::sampling::{self as sa, Outside, Sampling};
use ttk_frontend::composite::{Val, indexing as ix, layout as la, linear as li, reduction as re};
use ttk_frontend::composite::{activation as ac, activation::Gelu, distance as di, einsum, gamma as ga};
use ttk_frontend::composite::{bessel as be, bits as bi, sequence, statistics as st};
use ttk_frontend::composite::{rounding as ro, scan as sc, softmax as so, special as sp};
use ttk_ir::{Graph, ScatterOp};

type V<'r> = Val<'r, Graph>;

fn both<'r>((a, b): (V<'r>, V<'r>)) -> Vec<V<'r>> {
    vec![a, b]
}

fn number(word: &str) -> f64 {
    word.parse().expect("a number")
}

/// What the case computes, or `None` if it stands in no family.
pub(crate) fn call<'r>(name: &str, x: &[V<'r>]) -> Option<Vec<V<'r>>> {
    // The variants of a case that differ in their numbers only.
    let plain = ["kinks ", " edges", " smooth"].iter().fold(name.to_owned(), |n, s| n.replace(s, ""));
    let words: Vec<&str> = plain.split(' ').collect();
    one(&plain, x)
        .map(|y| vec![y])
        .or_else(|| several(&plain, x))
        .or_else(|| losses(&words, x).map(|y| vec![y]))
        .or_else(|| images(&words, x))
        .or_else(|| places(&words, x))
}

fn one<'r>(name: &str, x: &[V<'r>]) -> Option<V<'r>> {
    let a = &x[0];
    let b = x.get(1).unwrap_or(a);
    let c = x.get(2).unwrap_or(a);
    Some(match name {
        "relu" => ac::relu(a),
        "relu6" => ac::relu6(a),
        "hardtanh" => ac::hardtanh(a, -0.5, 1.5),
        "leaky_relu" => ac::leaky_relu(a, 0.1),
        "elu" => ac::elu(a, 1.5, 1.0, 1.0),
        "selu" => ac::selu(a),
        "celu" => ac::celu(a, 1.5),
        "gelu" | "gelu bf16" => ac::gelu(a, Gelu::None),
        "gelu tanh" => ac::gelu(a, Gelu::Tanh),
        "sigmoid" | "sigmoid bf16" => ac::sigmoid(a),
        "logsigmoid" => ac::logsigmoid(a),
        "silu" => ac::silu(a),
        "mish" => ac::mish(a),
        "softplus" if x[0].numel() == 4 => ac::softplus(a, 1.0, 20.0),
        "softplus" => ac::softplus(a, 2.0, 3.0),
        "hardsigmoid" => ac::hardsigmoid(a),
        "hardswish" => ac::hardswish(a),
        "softshrink" => ac::softshrink(a, 0.5),
        "hardshrink" => ac::hardshrink(a, 0.5),
        "tanhshrink" => ac::tanhshrink(a),
        "softsign" => ac::softsign(a),
        "threshold" => ac::threshold(a, 0.5, -7.0),
        "prelu" | "prelu one" => ac::prelu(a, b),
        "glu" => ac::glu(a, 1),

        "softmax" | "softmax large" => so::softmax(a, 1),
        "softmax scalar" => so::softmax(a, 0),
        "log_softmax" => so::log_softmax(a, 1),
        "softmin" => so::softmin(a, 1),
        "logsumexp" => so::logsumexp(a, &[0, 2]),
        "logsumexp inf" => so::logsumexp(a, &[1]),

        "layer_norm" => no::layer_norm(a, 2, Some(b), Some(c), 1e-5),
        "layer_norm plain" => no::layer_norm(a, 1, None, None, 1e-5),
        "rms_norm" => no::rms_norm(a, 1, Some(b), 1e-6),
        "group_norm" => no::group_norm(a, 2, Some(b), Some(c), 1e-5),
        "batch_norm eval" => {
            let stats = RunningStats { mean: x[3].clone(), variance: x[4].clone() };
            no::batch_norm_eval(a, Some(b), Some(c), &stats, 1e-5)
        }
        "normalize" => no::normalize(a, 2.0, 1, 1e-12),
        "normalize zero" => no::normalize(a, 3.0, 1, 1e-12),
        "local_response_norm" => no::local_response_norm(a, 3, 0.1, 0.75, 2.0),

        "matmul int" => li::matmul(a, b),
        "linear" => li::linear(a, b, Some(c)),
        "bilinear" => li::bilinear(a, b, c, Some(&x[3])),
        "outer" => li::outer(a, b),
        "addmm" => li::addmm(a, b, c, 0.5, 2.0),
        "addbmm" => li::addbmm(a, b, c, 0.5, 2.0),
        "addr" => li::addr(a, b, c, 0.5, 2.0),
        "kron" => li::kron(a, b),
        "cross" => li::cross(a, b, 1),
        "matrix_power" => li::matrix_power(a, 5),

        "pairwise_distance" => di::pairwise_distance(a, b, 2.0, 1e-6, false),
        "cosine_similarity" => di::cosine_similarity(a, b, 1, 1e-8),
        "pdist" => di::pdist(a, 2.0),

        "var" => re::var(a, &[0, 2], 1.0),
        "std" | "std zero" => re::std(a, &[1], 0.0),
        "norm at zero" => re::vector_norm(a, 2.0, &[1]),
        "prod" => re::prod(a, &[1]),
        "nansum" => re::nansum(a, &[1]),
        "nanmean" => re::nanmean(a, &[1]),
        "any" => re::any(a, &[1]),
        "all" => re::all(a, &[1]),
        "count_nonzero" => re::count_nonzero(a, &[1]),
        "argmax" => re::argmax(a, 1),
        "argmin" => re::argmin(a, 1),
        "median nan" => od::median(a, 1).0,
        "nanmedian" => od::nanmedian(a, 1).0,
        "mode" => od::mode(a, 1).0,
        "quantile grad" => {
            let q = a.scope().numbers(ttk_ir::DType::F32, &[0.3, 0.6]);
            od::quantile(a, &q, 1, Interpolation::Linear, false)
        }
        "nanquantile" => od::quantile(a, b, 1, Interpolation::Linear, true),
        "searchsorted" => od::searchsorted(a, b, false),
        "searchsorted right" => od::searchsorted(a, b, true),

        "cumsum" => sc::cumsum(a, 1),
        "cumprod" => sc::cumprod(a, 1),
        "logcumsumexp" => sc::logcumsumexp(a, 1),
        "trapezoid" => sc::trapezoid_at(a, b, 1),

        "asin" => sp::asin(a),
        "acos" => sp::acos(a),
        "atan" => sp::atan(a),
        "tan" => sp::tan(a),
        "sinh" => sp::sinh(a),
        "cosh" => sp::cosh(a),
        "asinh" => sp::asinh(a),
        "acosh" => sp::acosh(a),
        "atanh" => sp::atanh(a),
        "exp2" => sp::exp2(a),
        "log2" => sp::log2(a),
        "log10" => sp::log10(a),
        "rsqrt" => sp::rsqrt(a),
        "sinc" => sp::sinc(a),
        "logit" => sp::logit(a, None),
        "erfc" => sp::erfc(a),
        "erfinv" => sp::erfinv(a),
        "erfcx" => sp::erfcx(a),
        "ndtr" => sp::ndtr(a),
        "log_ndtr" => sp::log_ndtr(a),
        "ndtri" => sp::ndtri(a),
        "entr" => sp::entr(a),
        "lgamma" => ga::lgamma(a),
        "digamma" => ga::digamma(a),
        "polygamma 1" => ga::polygamma(1, a),
        "polygamma 2" => ga::polygamma(2, a),
        "zeta" => ga::hurwitz_zeta(2.5, a),
        "mvlgamma" => ga::mvlgamma(a, 3),
        "xlogy" => sp::xlogy(a, b),
        "xlog1py" => sp::xlog1py(a, b),
        "logaddexp" | "logaddexp tie" => sp::logaddexp(a, b),
        "logaddexp2" => sp::logaddexp2(a, b),
        "hypot" => sp::hypot(a, b),

        "floor_divide" | "floor_divide int" => ar::div(a, b, Rounding::Floor),
        "remainder" | "remainder int" | "remainder grad" => ar::remainder(a, b),
        "div trunc" | "div trunc int" => ar::div(a, b, Rounding::Trunc),
        "trunc" => ro::trunc(a),
        "frac" => ro::frac(a),
        "ceil" => ro::ceil(a),
        "round 2" => ro::round(a, 2),
        "round -1" => ro::round(a, -1),
        "sign" => ar::sign(a),
        "signbit" => ar::signbit(a),
        "isfinite" => ar::is_finite(a),
        "isinf" => ar::is_inf(a),
        "nan_to_num" => ar::nan_to_num(a, 1.0, 2.0, 3.0),
        "clamp" | "clamp ends" => ar::clamp(a, Some(-0.5), Some(1.0)),
        "clamp to" | "clamp to ends" => ar::clamp_to(a, Some(b), Some(c)),
        "copysign" | "copysign grad" => ar::copysign(a, b),
        "lerp" => ar::lerp(a, b, c),
        "lerp by" => ar::lerp_by(a, b, 0.7),
        "addcmul" => ar::addcmul(a, b, c, 0.5),
        "addcdiv" => ar::addcdiv(a, b, c, 0.5),
        "heaviside" => ar::heaviside(a, b),
        "isclose" => ar::isclose(a, b, 0.1, 0.01, true),
        "ldexp" => ar::ldexp(a, b),
        "fmax" => ar::fmax(a, b),
        "fmin" => ar::fmin(a, b),

        "frexp grad" => bi::frexp(a).0,
        "nextafter" => bi::nextafter(a, b),
        "i0" => be::i0(a),
        "i0e" => be::i0e(a),
        "i1" => be::i1(a),
        "i1e" => be::i1e(a),
        "cov" | "cov one" => st::cov(a, 1.0, &st::Weights::default()),
        "cov weights" => {
            let weights = st::Weights { frequency: Some(c.clone()), analytic: Some(b.clone()) };
            st::cov(a, 1.0, &weights)
        }
        "corrcoef" => st::corrcoef(a),
        "histc" => st::histc(a, 4, -1.0, 1.0),
        "bincount" => st::bincount(a, Some(b), 5),
        "isin" => st::isin(a, b, false),
        "renorm" => st::renorm(a, 2.0, 0, 1.5),
        "cumulative_trapezoid" => st::cumulative_trapezoid(a, 0.5, 1),
        "cumulative_trapezoid at" => st::cumulative_trapezoid_at(a, b, 1),

        "trace" => la::trace(a),
        "roll" => la::roll(a, &[(0, 1), (1, -2)]),
        "roll flat" => la::roll_flat(a, 5),
        "repeat" => la::repeat(a, &[2, 1, 3]),
        "repeat_interleave" => la::repeat_interleave(a, 3, 0),
        "cartesian_prod" => la::cartesian_prod(x),
        "block_diag" => la::block_diag(x),
        "vander" => la::vander(a, 4, false),
        "select_scatter" => la::select_scatter(a, b, 1, 2),
        "slice_scatter" => la::slice_scatter(a, b, 1, 1, 2),
        _ => return None,
    })
}

fn several<'r>(name: &str, x: &[V<'r>]) -> Option<Vec<V<'r>>> {
    let a = &x[0];
    Some(match name {
        "batch_norm train" | "instance_norm" => {
            let stats = RunningStats { mean: x[3].clone(), variance: x[4].clone() };
            let f = if name == "instance_norm" { no::instance_norm } else { no::batch_norm_train };
            let (y, moved) = f(a, Some(&x[1]), Some(&x[2]), Some(&stats), 0.3, 1e-5);
            let moved = moved?;
            vec![y, moved.mean, moved.variance]
        }
        "max along" => both(re::max_along(a, 1)),
        "min along" => both(re::min_along(a, 1)),
        "sort" if a.rank() == 2 && a.size(1) == 3 => both(od::sort(a, 0, false)),
        "sort" => both(od::sort(a, 1, false)),
        "sort descending" => both(od::sort(a, 1, true)),
        "topk" => both(od::topk(a, 2, 1, true)),
        "kthvalue" => both(od::kthvalue(a, 2, 1)),
        "median" => both(od::median(a, 1)),
        "cummax" => both(sc::cummax(a, 1)),
        "cummin" => both(sc::cummin(a, 1)),
        "frexp" => both(bi::frexp(a)),
        "meshgrid" => la::meshgrid(x),
        _ => return None,
    })
}

fn losses<'r>(words: &[&str], x: &[V<'r>]) -> Option<V<'r>> {
    let a = &x[0];
    let b = x.get(1).unwrap_or(a);
    let reduction = match words.last() {
        Some(&"none") => Reduction::None,
        Some(&"sum") => Reduction::Sum,
        _ => Reduction::Mean,
    };
    Some(match (words[0], words.get(1).copied().unwrap_or("")) {
        ("mse_loss", _) => lo::mse_loss(a, b, reduction),
        ("nll_loss", _) => lo::nll_loss(a, &x[2], Some(b), 2, reduction),
        ("cross_entropy", "plain" | "vector") => lo::cross_entropy(a, b, None, -100, reduction, 0.0),
        ("cross_entropy", "probabilities") => {
            lo::cross_entropy_probabilities(a, b, Some(&x[2]), reduction, 0.1)
        }
        ("cross_entropy", _) => lo::cross_entropy(a, &x[2], Some(b), 2, reduction, 0.2),
        ("l1_loss", _) => lo::l1_loss(a, b, reduction),
        ("smooth_l1_loss", _) => lo::smooth_l1_loss(a, b, reduction, 0.7),
        ("huber_loss", _) => lo::huber_loss(a, b, reduction, 0.7),
        ("binary_cross_entropy", _) => lo::binary_cross_entropy(a, b, None, reduction),
        ("bce_with_logits", "large") => lo::binary_cross_entropy_with_logits(a, b, None, None, reduction),
        ("bce_with_logits", _) => {
            lo::binary_cross_entropy_with_logits(a, b, Some(&x[2]), Some(&x[3]), reduction)
        }
        ("kl_div", "log") => lo::kl_div(a, b, Reduction::Mean, true),
        ("kl_div", _) => lo::kl_div(a, b, Reduction::Sum, false),
        ("poisson_nll_loss", _) => lo::poisson_nll_loss(a, b, true, true, 1e-8, reduction),
        ("gaussian_nll_loss", _) => lo::gaussian_nll_loss(a, b, &x[2], true, 0.1, reduction),
        ("soft_margin_loss", _) => lo::soft_margin_loss(a, b, reduction),
        ("multilabel_soft_margin_loss", _) => lo::multilabel_soft_margin_loss(a, b, None, reduction),
        ("hinge_embedding_loss", _) => lm::hinge_embedding_loss(a, b, 1.0, reduction),
        ("margin_ranking_loss", _) => lm::margin_ranking_loss(a, b, &x[2], 0.3, reduction),
        ("cosine_embedding_loss", _) => lm::cosine_embedding_loss(a, b, &x[2], 0.1, reduction),
        ("triplet_margin_loss", _) => lm::triplet_margin_loss(a, b, &x[2], 1.0, 2.0, 1e-6, true, reduction),
        ("multi_margin_loss", _) => lm::multi_margin_loss(a, &x[2], 2, 0.8, Some(b), reduction),
        ("multilabel_margin_loss", _) => lm::multilabel_margin_loss(a, b, reduction),
        _ => return None,
    })
}

fn settings(stride: &[i64], padding: &[i64], dilation: &[i64], groups: i64) -> Convolution {
    Convolution {
        stride: stride.to_vec(),
        padding: padding.iter().map(|&p| (p, p)).collect(),
        dilation: dilation.to_vec(),
        groups,
    }
}

fn pools(size: &[i64], stride: &[i64], padding: &[i64], dilation: i64) -> Vec<Pool> {
    let pool = |i: usize| Pool { size: size[i], stride: stride[i], padding: padding[i], dilation };
    (0..size.len()).map(pool).collect()
}

/// Windows, attention and images.
fn images<'r>(words: &[&str], x: &[V<'r>]) -> Option<Vec<V<'r>>> {
    let a = &x[0];
    let odd = pools(&[3, 2], &[2, 2], &[1, 0], 1);
    let patches = [
        Patch { size: 2, stride: 1, padding: 1, dilation: 2 },
        Patch { size: 3, stride: 2, padding: 0, dilation: 1 },
    ];
    let attend = |mask: Option<&V<'r>>, is_causal, scale, enable_gqa| {
        let settings = Attention { is_causal, scale, enable_gqa };
        scaled_dot_product_attention(a, &x[1], &x[2], mask, None, settings)
    };
    Some(match (words[0], words.get(1).copied().unwrap_or("")) {
        ("matmul", _) => vec![li::matmul(a, &x[1])],
        ("einsum", equation) => vec![einsum::einsum(equation, x).expect("a good equation")],
        ("conv2d", "groups") => {
            vec![convolution(a, &x[1], Some(&x[2]), &settings(&[1, 1], &[1, 1], &[1, 1], 2))]
        }
        ("conv2d", "depthwise") => {
            vec![convolution(a, &x[1], None, &settings(&[1, 1], &[0, 0], &[1, 1], 4))]
        }
        ("conv2d", _) => {
            vec![convolution(a, &x[1], Some(&x[2]), &settings(&[2, 1], &[1, 2], &[1, 2], 1))]
        }
        ("conv1d", _) => {
            let padding = Convolution::same(&[4], &[2]);
            let settings = Convolution { stride: vec![1], padding, dilation: vec![2], groups: 1 };
            vec![convolution(a, &x[1], None, &settings)]
        }
        ("conv3d", _) => {
            vec![convolution(a, &x[1], None, &settings(&[2, 2, 2], &[1, 1, 1], &[1, 1, 1], 1))]
        }
        ("conv_transpose2d", "groups") => {
            vec![conv_transpose(a, &x[1], None, &settings(&[2, 2], &[2, 2], &[1, 1], 2), &[0, 0])]
        }
        ("conv_transpose2d", _) => {
            vec![conv_transpose(a, &x[1], Some(&x[2]), &settings(&[2, 3], &[1, 0], &[1, 2], 1), &[1, 2])]
        }
        ("max_pool2d", "dilated") => both(po::max_pool(a, &pools(&[2, 2], &[1, 1], &[0, 0], 2), false)),
        ("max_pool2d", "ties") => both(po::max_pool(a, &pools(&[2, 2], &[2, 2], &[0, 0], 1), false)),
        ("max_pool2d", _) => both(po::max_pool(a, &odd, words[2] == "True")),
        ("max_pool1d", _) => vec![po::max_pool(a, &pools(&[3], &[2], &[1], 1), false).0],
        ("avg_pool2d", "divisor") => {
            vec![po::avg_pool(a, &pools(&[2, 2], &[2, 2], &[0, 0], 1), false, true, Some(3))]
        }
        ("avg_pool2d", _) => vec![po::avg_pool(a, &odd, words[2] == "True", words[4] == "True", None)],
        ("avg_pool1d", _) => vec![po::avg_pool(a, &pools(&[3], &[2], &[1], 1), false, true, None)],
        ("adaptive_avg_pool2d", "even") => vec![po::adaptive_avg_pool(a, &[2, 3])],
        ("adaptive_avg_pool2d", _) => vec![po::adaptive_avg_pool(a, &[3, 5])],
        ("adaptive_max_pool2d", _) => both(po::adaptive_max_pool(a, &[3, 5])),
        ("lp_pool2d", _) => vec![po::lp_pool(a, 3.0, &pools(&[2, 2], &[2, 2], &[0, 0], 1), false)],
        ("max_unpool2d", _) => vec![po::max_unpool(a, &x[1], &[4, 4])],
        ("attention", "") => vec![attend(None, false, None, false)],
        ("attention", "causal") => vec![attend(None, true, None, false)],
        ("attention", "bool") => vec![attend(Some(&x[3]), false, None, false)],
        ("attention", "mask") => vec![attend(Some(&x[3]), false, Some(0.3), false)],
        ("attention", "gqa") => vec![attend(None, false, None, true)],
        ("interpolate", "factor") => {
            let axes = [8, 6].map(|size| Axis { size, ratio: Some(1.0 / 1.7) });
            vec![interpolate(a, &axes, Resample::Linear, false)]
        }
        ("interpolate", mode) => {
            let sizes: Vec<i64> = words[3].split('x').map(|w| number(w) as i64).collect();
            let axes: Vec<Axis> = sizes.iter().map(|&size| Axis { size, ratio: None }).collect();
            let how = match mode {
                "nearest" => Resample::Nearest,
                "nearest-exact" => Resample::NearestExact,
                "bicubic" => Resample::Cubic,
                "area" => return Some(vec![po::adaptive_avg_pool(a, &sizes)]),
                _ => Resample::Linear,
            };
            vec![interpolate(a, &axes, how, words.get(4) == Some(&"corners"))]
        }
        ("pad", "constant") => vec![pad(a, &[(0, 0), (-1, 2), (1, -1)], Padding::Constant(1.5))],
        ("pad", mode) => {
            let kind = match mode {
                "reflect" => Padding::Reflect,
                "replicate" => Padding::Replicate,
                _ => Padding::Circular,
            };
            vec![pad(a, &[(0, 0), (0, 0), (2, 1), (1, 2)], kind)]
        }
        ("unfold", _) => vec![pa::unfold(a, &patches)],
        ("fold", _) => vec![pa::fold(a, &[5, 7], &patches)],
        ("tensor", _) => vec![pa::unfold_axis(a, 1, 3, 2)],
        ("pixel_shuffle", _) => vec![pa::pixel_shuffle(a, 2)],
        ("pixel_unshuffle", _) => vec![pa::pixel_unshuffle(a, 2)],
        ("channel_shuffle", _) => vec![pa::channel_shuffle(a, 2)],
        _ => return None,
    })
}

/// Tables, indices, and families with a number in the name.
fn places<'r>(words: &[&str], x: &[V<'r>]) -> Option<Vec<V<'r>>> {
    let a = &x[0];
    let b = x.get(1).unwrap_or(a);
    let c = x.get(2).unwrap_or(a);
    let kind = words.get(1).copied().unwrap_or("");
    let k = kind.parse::<i64>().unwrap_or(0);
    Some(vec![match (words[0], kind) {
        ("dist", p) => st::dist(a, b, number(p)),
        ("gradient", _) => st::gradient(a, b, 1, k),
        ("grid_sample", "volume") => sa::grid_sample(a, b, Sampling::Linear, Outside::Zeros, false),
        ("grid_sample", how) => {
            let how = match how {
                "bilinear" => Sampling::Linear,
                "nearest" => Sampling::Nearest,
                _ => Sampling::Bicubic,
            };
            let outside = match words[2] {
                "zeros" => Outside::Zeros,
                "border" => Outside::Border,
                _ => Outside::Reflection,
            };
            sa::grid_sample(a, b, how, outside, words[3] == "True")
        }
        ("affine_grid", "volume") => sa::affine_grid(a, &[2, 3, 4], false),
        ("affine_grid", corners) => sa::affine_grid(a, &[3, 4], corners == "True"),
        ("ctc_loss", how) => {
            let reduction = match how {
                "none" => Reduction::None,
                "sum" => Reduction::Sum,
                _ => Reduction::Mean,
            };
            sequence::ctc_loss(&so::log_softmax(a, 2), b, c, &x[3], 0, reduction, true)
        }
        ("interpolate_antialias", mode) => {
            let sizes: Vec<i64> = words[2].split('x').map(|w| number(w) as i64).collect();
            let axes: Vec<Axis> = sizes.iter().map(|&size| Axis { size, ratio: None }).collect();
            interpolate_antialias(a, &axes, mode == "bicubic", false)
        }
        ("index_reduce", how) => {
            let how = match how {
                "prod" => IndexReduce::Prod,
                "amax" => IndexReduce::Max,
                "amin" => IndexReduce::Min,
                _ => IndexReduce::Mean,
            };
            ix::index_reduce(a, 1, how, c, b, words[2] == "True")
        }
        ("tril", _) => la::tril(a, k),
        ("triu", _) => la::triu(a, k),
        ("diagonal", _) => la::diagonal(a, k, 0, 2),
        ("diag_embed", _) => la::diag_embed(a, k, 0, 2),
        ("rot90", _) => la::rot90(a, k, 0, 1),
        ("norm", p) => re::vector_norm(a, number(p), &[1]),
        ("cdist", p) => di::cdist(a, b, number(p)),
        ("quantile", how) => {
            let how = match how {
                "linear" => Interpolation::Linear,
                "lower" => Interpolation::Lower,
                "higher" => Interpolation::Higher,
                "midpoint" => Interpolation::Midpoint,
                _ => Interpolation::Nearest,
            };
            od::quantile(a, b, 1, how, false)
        }
        ("embedding", _) => em::embedding(a, b, Some(1)),
        ("one_hot", _) => em::one_hot(a, 4),
        ("embedding_bag", "sum") => em::embedding_bag(a, b, BagMode::Sum, None),
        ("embedding_bag", "mean") => em::embedding_bag(a, b, BagMode::Mean, None),
        ("embedding_bag", _) => em::embedding_bag(a, b, BagMode::Max, None),
        ("index_select", _) => ix::index_select(a, 1, b),
        ("gather", _) => ix::gather(a, 1, b),
        ("scatter", _) => ix::scatter(a, 1, ScatterOp::Set, c, b),
        ("scatter_add", _) => ix::scatter(a, 1, ScatterOp::Add, c, b),
        ("scatter_reduce", "mean") => ix::scatter_mean(a, 1, c, b, words.len() == 2),
        ("scatter_reduce", how) => {
            let (mode, start) = match how {
                "prod" => (ScatterOp::Mul, 1.0),
                "amax" => (ScatterOp::Max, f64::NEG_INFINITY),
                _ => (ScatterOp::Min, f64::INFINITY),
            };
            let base = if words.len() == 2 { a.clone() } else { ix::cleared(a, 1, c, start) };
            ix::scatter(&base, 1, mode, c, b)
        }
        ("take_along_dim", _) => ix::take_along_axis(a, b, 1),
        ("take", _) => ix::take(a, b),
        ("put", _) => ix::put(a, c, b, true),
        ("index_add", _) => ix::index_add(a, 1, c, b, 0.5),
        ("index_copy", _) => ix::index_write(a, 1, ScatterOp::Set, c, b),
        ("index_fill", _) => ix::index_fill(a, 1, c, b),
        ("masked_scatter", _) => ix::masked_scatter(a, c, b),
        ("index", "one") => ix::index(a, &[None, Some(b.clone())]),
        ("index", "adjacent") => ix::index(a, &[None, Some(b.clone()), Some(c.clone())]),
        ("index", _) => ix::index(a, &[Some(b.clone()), None, Some(c.clone())]),
        ("index_put", "apart") => ix::index_put(a, &[Some(c.clone()), None, Some(x[3].clone())], b, false),
        ("index_put", _) => ix::index_put(a, &[Some(c.clone()), Some(x[3].clone())], b, true),
        _ => return None,
    }])
}
