//! Rewrites whose gain depends on what is around them, by equality saturation.
//!
//! A rule adds a second way to compute a value and keeps the first; when all rules have been tried, the
//! cheapest graph among all combinations is taken. The `egg` crate keeps the equalities. Commutativity,
//! associativity, fusion and memory are not its business: the first two are settled by canonical
//! order before, the others have costs that are not a sum over operations.
//!
//! A graph is worked on in islands of at most 500 operations ([`islands`]), and an island that occurs
//! again, as the layers of a network do, is worked on once.

mod analysis;
pub mod cost;
mod extract;
mod islands;
mod language;
pub mod rules;
mod saturate;

use crate::cse::ValueTable;
use crate::error::PassError;
use crate::options::Options;
use analysis::Facts;
use cost::Cost;
use egg::Id;
use islands::{Input, Item, Outline};
use language::{Args, ENode};
use rustc_hash::FxHashMap;
use saturate::Island;
use smallvec::SmallVec;
use std::rc::Rc;
use ttk_ir::{Graph, LocId, Op, ValueId};

/// Replaces parts of a graph by cheaper ones that [`rules::RULES`] finds equal.
///
/// # Errors
/// None but [`PassError::Type`], which means a defect.
pub fn rewrite(graph: &Graph, options: &Options) -> Result<Graph, PassError> {
    rewrite_by(graph, rules::enabled(options))
}

/// The same without one of the rules: what a test of the rule's worth looks at.
///
/// # Errors
/// None but [`PassError::Type`], which means a defect.
pub fn rewrite_without(rule: &rules::Rule, graph: &Graph, options: &Options) -> Result<Graph, PassError> {
    rewrite_by(graph, rules::enabled(options) & !rules::only(rule))
}

/// By the rules of a set, as bits over [`rules::RULES`].
fn rewrite_by(graph: &Graph, enabled: u64) -> Result<Graph, PassError> {
    let mut facts = Facts::default();
    let items = islands::split(graph, &mut facts.ops);
    let mut out = Stitch::new(graph);
    let mut memo: FxHashMap<Vec<u32>, Option<Rc<Recipe>>> = FxHashMap::default();
    for item in &items {
        let outline = match item {
            Item::Fixed(id) => {
                out.copy(*id)?;
                continue;
            }
            Item::Island(outline) => outline,
        };
        let recipe = match memo.get(&outline.key) {
            Some(known) => known.clone(),
            None => {
                let (found, tables) = improve(graph, outline, facts, enabled);
                facts = tables;
                let found = found.map(Rc::new);
                memo.insert(outline.key.clone(), found.clone());
                found
            }
        };
        match recipe {
            Some(recipe) => out.follow(outline, &recipe)?,
            None => outline.nodes.iter().try_for_each(|&id| out.copy(id).map(drop))?,
        }
    }
    out.finish()
}

/// The graphs that one rule alone makes of a graph, each by one of its matches: what a test of the rule
/// looks at. They may cost more; nothing is chosen.
///
/// # Errors
/// None but [`PassError::Type`], which means a defect.
pub fn apply_rule(rule: &rules::Rule, graph: &Graph) -> Result<Vec<Graph>, PassError> {
    let mut facts = Facts::default();
    let outline = islands::whole(graph, &mut facts.ops);
    let mut island = Island::new(facts);
    let Some(loaded) = load(&mut island, graph, &outline) else { return Ok(Vec::new()) };
    let roots: Vec<Id> = outline.outputs.iter().map(|&n| loaded.nodes[n]).collect();
    let mut results = Vec::new();
    for (&class, &id) in loaded.nodes.iter().zip(&outline.nodes) {
        let node = graph.node(id);
        if !(rule.begins)(&node.op) {
            continue;
        }
        let args = island.egraph[class].nodes[0].args.clone();
        let mut found = rules::Found::new();
        (rule.rewrite)(&mut island, &node.op, &args, &mut found);
        for new in found {
            // Nothing was joined, so every class has one term; this one gets that of its equal.
            let mut choice: extract::Choice =
                island.egraph.classes().map(|c| (c.id, c.nodes[0].clone())).collect();
            choice.insert(class, island.egraph[new].nodes[0].clone());
            if let Some(recipe) = write_down(&island, &outline, &loaded, &choice, &roots) {
                let mut out = Stitch::new(graph);
                graph.params().iter().try_for_each(|&p| out.copy(p).map(drop))?;
                out.follow(&outline, &recipe)?;
                results.push(out.finish()?);
            }
        }
    }
    Ok(results)
}

/// The cheaper form of an island, over its inputs.
#[derive(Debug)]
struct Recipe {
    steps: Vec<Step>,
    outputs: Vec<Input>,
}

#[derive(Debug)]
struct Step {
    op: Rc<Op>,
    args: SmallVec<[Input; 3]>,
    /// The operation of the island whose source line this has, by position.
    origin: usize,
}

/// Looks for a cheaper form of an island; `None` when what there is is the cheapest. The tables go in and
/// come out, so that an operation has one number all over a graph.
fn improve(graph: &Graph, outline: &Outline, facts: Facts, enabled: u64) -> (Option<Recipe>, Facts) {
    let mut island = Island::new(facts);
    let Some(loaded) = load(&mut island, graph, outline) else {
        return (None, island.into_facts());
    };
    if !island.saturate(enabled) {
        return (None, island.into_facts());
    }
    let roots: Vec<Id> = outline.outputs.iter().map(|&n| island.egraph.find(loaded.nodes[n])).collect();
    let recipe = extract::extract(&island, &roots, &loaded.terms)
        .filter(|(cost, _)| *cost < loaded.cost)
        .and_then(|(_, choice)| write_down(&island, outline, &loaded, &choice, &roots));
    (recipe, island.into_facts())
}

/// The classes of an island's inputs and operations, and what it costs as it is.
struct Loaded {
    externals: Vec<Id>,
    nodes: Vec<Id>,
    /// Each distinct term of the input.
    terms: Vec<(Id, ENode)>,
    cost: Cost,
}

fn load(island: &mut Island, graph: &Graph, outline: &Outline) -> Option<Loaded> {
    let mut cost = Cost::ZERO;
    let mut seen = rustc_hash::FxHashSet::default();
    let mut terms = Vec::with_capacity(outline.nodes.len());
    let mut add = |island: &mut Island, op: &Op, args: Args| -> Option<Id> {
        let id = island.add_as_is(op, args)?;
        if seen.insert(id) {
            let node: &ENode = &island.egraph[id].nodes[0];
            cost = cost + island.cost(id, node);
            terms.push((id, node.clone()));
        }
        Some(id)
    };
    let mut externals = Vec::with_capacity(outline.externals.len());
    for (i, &v) in outline.externals.iter().enumerate() {
        let ty = graph.ty(v);
        let op = Op::Param { index: i as u32, dtype: ty.dtype, shape: ty.shape.clone() };
        externals.push(add(island, &op, Args::new())?);
    }
    let mut nodes: Vec<Id> = Vec::with_capacity(outline.nodes.len());
    for (at, &v) in outline.nodes.iter().enumerate() {
        let mut args = Args::new();
        for (k, input) in outline.inputs(at).enumerate() {
            args.push(match input {
                Input::External(i) => externals[i as usize],
                Input::Node(i) => nodes[i as usize],
                // Leaves are made where they are used, so that a constant that layers share does not
                // make the first of them, where it stands, differ from the rest.
                Input::Leaf => add(island, &graph.node(graph.node(v).inputs[k]).op, Args::new())?,
            });
        }
        nodes.push(add(island, &graph.node(v).op, args)?);
    }
    Some(Loaded { externals, nodes, terms, cost })
}

/// The chosen terms in an order in which each comes after its operands.
fn write_down(
    island: &Island,
    outline: &Outline,
    loaded: &Loaded,
    choice: &extract::Choice,
    roots: &[Id],
) -> Option<Recipe> {
    let find = |id: Id| island.egraph.find(id);
    let mut done: FxHashMap<Id, Input> = FxHashMap::default();
    for (i, &id) in loaded.externals.iter().enumerate() {
        done.entry(find(id)).or_insert(Input::External(i as u32));
    }
    let mut origins: FxHashMap<Id, usize> = FxHashMap::default();
    for (i, &id) in loaded.nodes.iter().enumerate() {
        origins.entry(find(id)).or_insert(i);
    }
    let mut steps: Vec<Step> = Vec::with_capacity(choice.len());
    let mut open = rustc_hash::FxHashSet::default();
    // `(class, next operand, origin)`: what has no origin of its own takes that of its user.
    let mut stack: Vec<(Id, usize, usize)> = Vec::new();
    for (&root, &output) in roots.iter().zip(&outline.outputs) {
        stack.push((root, 0, output));
        while let Some((class, next, origin)) = stack.pop() {
            if done.contains_key(&class) {
                continue;
            }
            if next == 0 && !open.insert(class) {
                return None;
            }
            let node = choice.get(&class)?;
            match node.args.get(next) {
                Some(&arg) => {
                    stack.push((class, next + 1, origin));
                    let arg = find(arg);
                    let origin = origins.get(&arg).copied().unwrap_or(origin);
                    stack.push((arg, 0, origin));
                }
                None => {
                    let args: Option<_> = node.args.iter().map(|a| done.get(&find(*a)).copied()).collect();
                    done.insert(class, Input::Node(steps.len() as u32));
                    steps.push(Step { op: island.op(node), args: args?, origin });
                }
            }
        }
    }
    let outputs: Option<Vec<Input>> = roots.iter().map(|r| done.get(r).copied()).collect();
    Some(Recipe { steps, outputs: outputs? })
}

/// The result under construction.
struct Stitch<'g> {
    graph: &'g Graph,
    out: Graph,
    table: ValueTable,
    map: Vec<Option<ValueId>>,
    /// For each node of `out`, the node of `graph` it is there for.
    origin: Vec<u32>,
}

impl<'g> Stitch<'g> {
    fn new(graph: &'g Graph) -> Stitch<'g> {
        Stitch {
            graph,
            out: Graph::like(graph),
            table: ValueTable::default(),
            map: vec![None; graph.len()],
            origin: Vec::with_capacity(graph.len()),
        }
    }

    fn add(
        &mut self,
        op: &Op,
        inputs: &[ValueId],
        loc: LocId,
        origin: ValueId,
    ) -> Result<ValueId, PassError> {
        let id = self
            .table
            .add(&mut self.out, op, inputs, loc)
            .map_err(|error| PassError::Type { pass: "rewrite", error })?;
        if id.index() == self.origin.len() {
            self.origin.push(origin.0);
        }
        Ok(id)
    }

    /// The value of a node in the result: copied with its operands if it is not there. Operands other
    /// than leaves are there, because items come in order.
    fn copy(&mut self, id: ValueId) -> Result<ValueId, PassError> {
        if let Some(done) = self.map[id.index()] {
            return Ok(done);
        }
        let node = self.graph.node(id);
        let mut inputs: SmallVec<[ValueId; 3]> = SmallVec::new();
        for &input in &node.inputs {
            inputs.push(self.copy(input)?);
        }
        let new = self.add(&node.op, &inputs, node.loc, id)?;
        self.map[id.index()] = Some(new);
        Ok(new)
    }

    fn follow(&mut self, outline: &Outline, recipe: &Recipe) -> Result<(), PassError> {
        let mut externals = Vec::with_capacity(outline.externals.len());
        for &v in &outline.externals {
            externals.push(self.copy(v)?);
        }
        let mut made: Vec<ValueId> = Vec::with_capacity(recipe.steps.len());
        let value = |made: &[ValueId], input: &Input| match input {
            Input::External(i) => externals[*i as usize],
            Input::Node(i) => made[*i as usize],
            Input::Leaf => unreachable!("a recipe makes its leaves as steps"),
        };
        for step in &recipe.steps {
            let inputs: SmallVec<[ValueId; 3]> = step.args.iter().map(|a| value(&made, a)).collect();
            let origin = outline.nodes[step.origin];
            made.push(self.add(&step.op, &inputs, self.graph.node(origin).loc, origin)?);
        }
        for (&n, output) in outline.outputs.iter().zip(&recipe.outputs) {
            self.map[outline.nodes[n].index()] = Some(value(&made, output));
        }
        Ok(())
    }

    /// The result with its operations as near as may be to where they were recorded: islands were taken
    /// by how many fences lie before them, and an order in which all that could be early is early keeps
    /// every buffer alive for long.
    fn finish(mut self) -> Result<Graph, PassError> {
        let mut outputs = Vec::with_capacity(self.graph.outputs.len());
        for &o in &self.graph.outputs {
            outputs.push(self.copy(o)?);
        }
        self.out.outputs = outputs;
        islands::restore_order(&self.out, &self.origin)
    }
}
