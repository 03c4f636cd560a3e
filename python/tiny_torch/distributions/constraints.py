"""Sets of values: `constraint.check(value)` says elementwise whether values belong to it."""

__all__ = ["Constraint", "boolean", "nonnegative", "nonnegative_integer", "positive", "real", "real_vector", "simplex", "unit_interval"]


class Constraint:
    """A set, described by a predicate. `event_dim` dimensions at the end are checked together."""

    def __init__(self, name, predicate, is_discrete=False, event_dim=0):
        self.name = name
        self._predicate = predicate
        self.is_discrete = is_discrete
        self.event_dim = event_dim

    def check(self, value):
        result = self._predicate(value)
        for _ in range(self.event_dim if result.dim() == value.dim() else 0):
            result = result.all(-1)
        return result

    def __repr__(self):
        return self.name


boolean = Constraint("Boolean()", lambda v: (v == 0) | (v == 1), is_discrete=True)
real = Constraint("Real()", lambda v: v == v)
real_vector = Constraint("IndependentConstraint(Real(), 1)", lambda v: v == v, event_dim=1)
positive = Constraint("GreaterThan(lower_bound=0.0)", lambda v: v > 0)
nonnegative = Constraint("GreaterThanEq(lower_bound=0.0)", lambda v: v >= 0)
nonnegative_integer = Constraint("IntegerGreaterThan(lower_bound=0)", lambda v: (v % 1 == 0) & (v >= 0), is_discrete=True)
unit_interval = Constraint("Interval(lower_bound=0.0, upper_bound=1.0)", lambda v: (v >= 0) & (v <= 1))
simplex = Constraint("Simplex()", lambda v: (v >= 0).all(-1) & ((v.sum(-1) - 1).abs() < 1e-6), event_dim=1)
one_hot = Constraint("OneHot()", lambda v: ((v == 0) | (v == 1)).all(-1) & (v.sum(-1) == 1), is_discrete=True, event_dim=1)


def interval(lower_bound, upper_bound):
    """Values between two bounds, included."""
    name = f"Interval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return Constraint(name, lambda v: (v >= lower_bound) & (v <= upper_bound))


def integer_interval(lower_bound, upper_bound):
    """Integers between two bounds, included."""
    name = f"IntegerInterval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return Constraint(name, lambda v: (v % 1 == 0) & (v >= lower_bound) & (v <= upper_bound), is_discrete=True)
