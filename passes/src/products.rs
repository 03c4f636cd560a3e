//! One product for a sum of products.
//!
//! A weight that is used at each step of a recurrence gets a product of derivatives for each, all of them
//! added up: `A0 B0 + A1 B1 + ...`. That is one product of the `A`s and the `B`s stacked, whose sum is
//! longer by an axis. It is computed at the rate of large products, and no partial result goes to memory.
//!
//! The terms of a sum of floats are added in another order than was written, as within a product.

use crate::canonicalize::Rewriter;
use crate::error::PassError;
use crate::options::Options;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use ttk_ir::{Binary, Builder, Dim, Graph, Op, Type, ValueId};

/// Fewer products than this stay as they are: a joint result saves little.
const FEWEST: usize = 3;

/// A product with what is done to it before it is added.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Form {
    permutation: Option<Op>,
    dot: Op,
    operands: [Type; 2],
}

/// What a sum is made of.
struct Sum {
    /// Terms that stay.
    others: Vec<ValueId>,
    /// Products of one form, the operands of each.
    joined: Vec<(Form, Vec<[ValueId; 2]>)>,
}

/// Joins the products among the terms of a sum.
///
/// # Errors
/// None today; the type is that of every pass.
pub fn products(graph: &Graph, options: &Options) -> Result<Graph, PassError> {
    let sums = find(graph);
    if sums.is_empty() {
        return Ok(graph.clone());
    }
    Ok(Rewriter::run_with_values(graph, options, |r, id, map| Some(build(r, sums.get(&id)?, map))))
}

/// The sums in which there is something to join, by their last addition.
fn find(graph: &Graph) -> FxHashMap<ValueId, Sum> {
    let live = graph.live();
    let mut uses = vec![0u32; graph.len()];
    let users = graph.ids().filter(|id| live[id.index()]).flat_map(|id| &graph.node(id).inputs);
    for v in users.chain(&graph.outputs) {
        uses[v.index()] += 1;
    }
    // An addition is passed through where its one user is an addition.
    let mut inner = vec![false; graph.len()];
    let mut found = FxHashMap::default();
    for id in graph.ids().rev().filter(|id| live[id.index()] && is_add(graph, *id)) {
        if inner[id.index()] {
            continue;
        }
        let mut terms: Vec<ValueId> = Vec::new();
        let mut stack = vec![id];
        while let Some(v) = stack.pop() {
            if v == id || (is_add(graph, v) && uses[v.index()] == 1) {
                inner[v.index()] = true;
                stack.extend(graph.node(v).inputs.iter().rev());
            } else {
                terms.push(v);
            }
        }
        if let Some(sum) = sum_of(graph, &uses, &terms) {
            found.insert(id, sum);
        }
    }
    found
}

fn is_add(graph: &Graph, v: ValueId) -> bool {
    matches!(graph.node(v).op, Op::Binary(Binary::Add))
}

/// Which terms to join; `None` if there are too few.
fn sum_of(graph: &Graph, uses: &[u32], terms: &[ValueId]) -> Option<Sum> {
    if terms.len() < FEWEST {
        return None;
    }
    let mut forms: FxHashMap<Form, usize> = FxHashMap::default();
    let mut groups: Vec<(Form, Vec<ValueId>, Vec<[ValueId; 2]>)> = Vec::new();
    let mut others = Vec::new();
    for &term in terms {
        let Some((form, operands)) = product(graph, uses, term) else {
            others.push(term);
            continue;
        };
        let group = *forms.entry(form.clone()).or_insert_with(|| {
            groups.push((form, Vec::new(), Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push(term);
        groups[group].2.push(operands);
    }
    let mut joined = Vec::new();
    for (form, terms, mut operands) in groups {
        if operands.len() < FEWEST {
            others.extend(terms);
            continue;
        }
        // Derivatives come about from the last step to the first, after what they are multiplied with. In the
        // order of steps the same stack may be there already, for another product.
        operands.sort_by_key(|o| std::cmp::Reverse(*o.iter().max().expect("two")));
        joined.push((form, operands));
    }
    (!joined.is_empty()).then_some(Sum { others, joined })
}

/// A term that is a product, used nowhere else, whose result is larger than its operands: otherwise the
/// copies that stacking makes would cost more than the additions.
fn product(graph: &Graph, uses: &[u32], term: ValueId) -> Option<(Form, [ValueId; 2])> {
    let mut at = term;
    let mut permutation = None;
    if uses[at.index()] == 1
        && let Op::Permute(_) = graph.node(at).op
    {
        permutation = Some(graph.node(at).op.clone());
        at = graph.node(at).inputs[0];
    }
    let node = graph.node(at);
    if uses[at.index()] != 1 || !matches!(node.op, Op::Dot { .. }) {
        return None;
    }
    let operands = [node.inputs[0], node.inputs[1]];
    let size = |ty: &Type| {
        ty.shape.iter().try_fold(1i64, |n, d| match d {
            Dim::Fixed(d) => n.checked_mul(*d),
            Dim::Symbolic(_) => None,
        })
    };
    let of = |v: ValueId| size(graph.ty(v));
    let pays = of(at)? >= of(operands[0])?.checked_add(of(operands[1])?)?;
    let operand_types = operands.map(|v| graph.ty(v).clone());
    pays.then_some((Form { permutation, dot: node.op.clone(), operands: operand_types }, operands))
}

/// The sum with its products joined.
fn build(r: &mut Rewriter<'_>, sum: &Sum, map: &[ValueId]) -> ValueId {
    let mut terms: Vec<ValueId> = sum.others.iter().map(|v| map[v.index()]).collect();
    for (form, operands) in &sum.joined {
        let Op::Dot { batch, contract } = &form.dot else { unreachable!("only products are joined") };
        let [lhs, rhs] = [0, 1].map(|side| {
            let parts: Vec<ValueId> = operands
                .iter()
                .map(|o| {
                    let part = map[o[side].index()];
                    let shape = std::iter::once(Dim::Fixed(1)).chain(r.shape(&part)).collect();
                    r.reshape(&part, shape)
                })
                .collect();
            r.concat(&parts, 0)
        });
        let behind = |pairs: &[(u8, u8)]| pairs.iter().map(|(a, b)| (a + 1, b + 1)).collect::<SmallVec<_>>();
        let mut all: SmallVec<[(u8, u8); 2]> = SmallVec::from_slice(&[(0, 0)]);
        all.extend(behind(contract));
        let mut product = r.emit(&Op::Dot { batch: behind(batch), contract: all }, &[lhs, rhs]);
        if let Some(permutation) = &form.permutation {
            product = r.emit(permutation, &[product]);
        }
        terms.push(product);
    }
    terms.into_iter().reduce(|x, y| r.add(&x, &y)).expect("a sum has terms")
}
