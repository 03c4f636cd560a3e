"""Nested containers as flat lists of leaves and back."""
import collections

__all__ = [
    "LeafSpec",
    "TreeSpec",
    "register_pytree_node",
    "tree_all",
    "tree_any",
    "tree_flatten",
    "tree_iter",
    "tree_leaves",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_structure",
    "tree_unflatten",
]

# type -> (flatten: value -> (children, context), unflatten: (children, context) -> value)
SUPPORTED_NODES = {
    list: (lambda value: (list(value), None), lambda children, context: list(children)),
    tuple: (lambda value: (list(value), None), lambda children, context: tuple(children)),
    dict: (lambda value: (list(value.values()), list(value)), lambda children, keys: dict(zip(keys, children))),
    collections.OrderedDict: (
        lambda value: (list(value.values()), list(value)),
        lambda children, keys: collections.OrderedDict(zip(keys, children)),
    ),
    collections.defaultdict: (
        lambda value: (list(value.values()), (value.default_factory, list(value))),
        lambda children, context: collections.defaultdict(context[0], zip(context[1], children)),
    ),
    collections.deque: (
        lambda value: (list(value), value.maxlen),
        lambda children, limit: collections.deque(children, maxlen=limit),
    ),
}
_NAMED = (lambda value: (list(value), type(value)), lambda children, kind: kind(*children))


def register_pytree_node(cls, flatten_fn, unflatten_fn, **options):
    """Teaches flattening a type: `flatten_fn(value) -> (children, context)`, `unflatten_fn(children, context)`."""
    SUPPORTED_NODES[cls] = (flatten_fn, unflatten_fn)


_register_pytree_node = register_pytree_node


def _rules(value):
    kind = type(value)
    if kind in SUPPORTED_NODES:
        return SUPPORTED_NODES[kind]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _NAMED
    return None


class TreeSpec:
    """The shape of a tree: the type of its root, what the type needs besides its children, and their specs."""

    def __init__(self, type, context, children_specs):
        self.type = type
        self.context = context
        self.children_specs = children_specs
        self.num_leaves = sum(child.num_leaves for child in children_specs)
        self.num_children = len(children_specs)

    def is_leaf(self):
        return False

    def children(self):
        return list(self.children_specs)

    def __eq__(self, other):
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return (self.type, self.context, self.children_specs) == (other.type, other.context, other.children_specs)

    def __hash__(self):
        return hash((self.type, tuple(self.children_specs)))

    def __repr__(self):
        return f"TreeSpec({self.type.__name__}, {self.context}, {self.children_specs})"

    def unflatten(self, leaves):
        return tree_unflatten(leaves, self)


class LeafSpec(TreeSpec):
    """The spec of a leaf."""

    def __init__(self):
        super().__init__(None, None, [])
        self.num_leaves = 1

    def is_leaf(self):
        return True

    def __repr__(self):
        return "*"


def _flatten(tree, leaves, is_leaf):
    rules = None if is_leaf is not None and is_leaf(tree) else _rules(tree)
    if rules is None:
        leaves.append(tree)
        return LeafSpec()
    children, context = rules[0](tree)
    return TreeSpec(type(tree), context, [_flatten(child, leaves, is_leaf) for child in children])


def tree_flatten(tree, is_leaf=None):
    """The leaves, in order, and the spec that puts them together again."""
    leaves = []
    spec = _flatten(tree, leaves, is_leaf)
    return leaves, spec


def tree_unflatten(leaves, treespec):
    """The tree of a given spec with these leaves."""
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten(leaves, treespec): `leaves` has length {len(leaves)} but the spec refers to a pytree that "
            f"holds {treespec.num_leaves} items ({treespec})."
        )
    return _unflatten(iter(leaves), treespec)


def _unflatten(leaves, spec):
    if spec.is_leaf():
        return next(leaves)
    children = [_unflatten(leaves, child) for child in spec.children_specs]
    unflatten = SUPPORTED_NODES[spec.type][1] if spec.type in SUPPORTED_NODES else _NAMED[1]
    return unflatten(children, spec.context)


def tree_iter(tree, is_leaf=None):
    return iter(tree_flatten(tree, is_leaf)[0])


def tree_leaves(tree, is_leaf=None):
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree, is_leaf=None):
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func, tree, *rests, is_leaf=None):
    """The tree with `func` applied to each leaf, and to the leaves of `rests` at the same places."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_flatten(rest, is_leaf)[0] for rest in rests]
    return tree_unflatten([func(*values) for values in zip(leaves, *others)], spec)


def tree_map_(func, tree, *rests, is_leaf=None):
    """Calls `func` on each leaf for its effect; returns the tree itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(type_or_types_or_pred, /, func=None, tree=None, is_leaf=None):
    """`tree_map` on leaves of the given types, or that satisfy the given predicate."""
    chosen = type_or_types_or_pred
    fits = chosen if callable(chosen) and not isinstance(chosen, type) else lambda value: isinstance(value, chosen)
    return tree_map(lambda value: func(value) if fits(value) else value, tree, is_leaf=is_leaf)


def tree_all(pred, tree, is_leaf=None):
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred, tree, is_leaf=None):
    return any(map(pred, tree_leaves(tree, is_leaf)))
