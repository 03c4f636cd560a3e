"""`einsum` over permutes, sums and batched matrix products."""
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _error(text):
    return RuntimeError(f"einsum(): {text}")


def _parse(equation, operands):
    """The subscripts of each operand and of the result, every dimension with a name; "..." gets names of its own."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        more = "more" if len(operands) > len(terms) else "fewer"
        raise _error(f"{more} operands were provided than specified in the equation")
    named, rest = [], 0
    for number, (term, operand) in enumerate(zip(terms, operands)):
        before, dots, after = term.partition("...")
        letters = before + after
        if any(letter not in _LETTERS for letter in letters):
            raise _error(f"invalid subscript given at index {number} in the equation string, subscripts must be in [a-zA-Z]")
        free = operand.dim() - len(letters)
        if free < 0 or free and not dots:
            raise _error(
                f"the number of subscripts in the equation ({len(letters)}) does not match the number of dimensions "
                f"({operand.dim()}) for operand {number}" + (" and no ellipsis was given" if not dots else "")
            )
        rest = max(rest, free)
        named.append((before, free, after))
    # Names of the unnamed dimensions count from the right, as broadcasting does.
    terms = [list(before) + [-i for i in range(free, 0, -1)] + list(after) for before, free, after in named]
    unnamed = [-i for i in range(rest, 0, -1)]
    if arrow:
        before, dots, after = right.partition("...")
        result = list(before) + (unnamed if dots else []) + list(after)
        for label in result:
            if result.count(label) > 1:
                raise _error(f"output subscript {label} appears more than once in the output")
            if not any(label in term for term in terms):
                raise _error(f"output subscript {label} does not appear in the equation for any input operand")
    else:
        every = [label for term in terms for label in term if isinstance(label, str)]
        result = unnamed + sorted(label for label in set(every) if every.count(label) == 1)
    return terms, result


def _diagonal(operand, labels):
    """The operand with repeated labels made one."""
    labels = list(labels)
    for label in set(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if operand.shape[first] != operand.shape[second]:
                raise _error(f"subscript {label} is repeated but the sizes don't match")
            operand = operand.diagonal(0, first, second)
            labels = [x for i, x in enumerate(labels) if i not in (first, second)] + [label]
    return operand, labels


def _sum_out(operand, labels, keep):
    axes = [i for i, label in enumerate(labels) if label not in keep]
    if axes:
        operand = operand.sum(axes)
        labels = [label for label in labels if label in keep]
    return operand, labels


def _align(operand, labels, order):
    """The operand permuted to `order`, with size 1 where it has no such label."""
    operand = operand.permute([labels.index(label) for label in order if label in labels])
    shape = iter(operand.shape)
    return operand.reshape([next(shape) if label in labels else 1 for label in order])


def _pair(a, la, b, lb, keep):
    """Two operands multiplied, and the labels summed that nothing else needs."""
    a, la = _sum_out(a, la, set(lb) | keep)
    b, lb = _sum_out(b, lb, set(la) | keep)
    sizes = {}
    for labels, operand in ((la, a), (lb, b)):
        for label, size in zip(labels, operand.shape):
            known = sizes.get(label, 1)
            if size != known and 1 not in (size, known):
                raise _error(f"subscript {label} has size {size} for operand 1 which does not broadcast with previously seen size {known}")
            sizes[label] = max(size, known) if 0 not in (size, known) else 0
    contract = [x for x in la if x in lb and x not in keep]
    batch = [x for x in la if x in lb and x in keep]
    rows = [x for x in la if x not in lb]
    columns = [x for x in lb if x not in la]
    order = batch + rows + columns
    if not contract:
        return _align(a, la, order) * _align(b, lb, order), order

    def grouped(operand, labels, groups):
        wanted = [label for group in groups for label in group]
        operand = operand.permute([labels.index(label) for label in wanted])
        operand = operand.expand([sizes[label] for label in wanted])
        shape = [sizes[label] for label in groups[0]]
        for group in groups[1:]:
            size = 1
            for label in group:
                size *= sizes[label]
            shape.append(size)
        return operand.reshape(shape)

    product = grouped(a, la, (batch, rows, contract)) @ grouped(b, lb, (batch, contract, columns))
    return product.reshape([sizes[label] for label in order]), order


def einsum(equation, operands):
    """Sums products of the operands' elements as the equation says."""
    if not isinstance(equation, str):
        # The other form: operand, list of numbers, operand, list of numbers, ..., result's numbers.
        items = [equation, *operands]
        tensors, lists = items[0::2], items[1::2]
        result = None
        if len(tensors) > len(lists):
            result = tensors.pop()

        def text(numbers):
            return "".join("..." if n is Ellipsis else _LETTERS[n] for n in numbers)

        equation = ",".join(map(text, lists)) + ("" if result is None else "->" + text(result))
        operands = tensors
    operands = list(operands)
    if not operands:
        raise _error("must provide at least one operand")
    terms, result = _parse(equation, operands)
    todo = [_diagonal(operand, labels) for operand, labels in zip(operands, terms)]
    value, labels = todo.pop(0)
    while todo:
        other, others = todo.pop(0)
        keep = set(result).union(*(set(term) for _, term in todo))
        value, labels = _pair(value, labels, other, others, keep)
    value, labels = _sum_out(value, labels, set(result))
    return value.permute([labels.index(label) for label in result]) if result else value
