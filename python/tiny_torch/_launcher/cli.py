"""The command `ttk`: Python programs are run here, everything else by the native program."""
import sys

_USAGE = """usage: ttk run SCRIPT.py [ARGUMENTS ...]
       ttk run -m MODULE [ARGUMENTS ...]
       ttk run -c COMMAND [ARGUMENTS ...]

runs an unmodified program with the name `torch` bound to tiny_torch."""


def _is_python_program(arguments):
    """Whether the words after `run` name a Python program, and not a compiled file."""
    first = arguments[0] if arguments else ""
    return first in ("-m", "-c") or first.endswith((".py", ".pyc", ".pyw"))


def _as_main(code, filename, arguments, folder, package=None, spec=None):
    """Runs `code` as the module `__main__`, as the interpreter itself would."""
    import types

    main = types.ModuleType("__main__")
    main.__dict__.update({"__builtins__": __builtins__, "__package__": package, "__spec__": spec, "__annotations__": {}})
    if filename is not None:
        main.__file__ = filename
    sys.modules["__main__"] = main
    sys.argv = arguments
    if sys.path and sys.path[0] != folder:
        sys.path.insert(0, folder)
    exec(code, main.__dict__)


def run_python(arguments):
    """Runs `SCRIPT args`, `-m MODULE args` or `-c COMMAND args`. Returns the exit status."""
    import os

    from .alias import install_as_torch

    install_as_torch()
    first = arguments[0]
    if first in ("-m", "-c") and len(arguments) < 2:
        print(f"ttk: error: argument expected for the {first} option", file=sys.stderr)
        return 2
    if first == "-c":
        _as_main(compile(arguments[1], "<string>", "exec"), None, ["-c", *arguments[2:]], "")
        return 0
    if first == "-m":
        import runpy

        sys.argv = ["-m", *arguments[2:]]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    try:
        with open(first, "rb") as file:
            source = file.read()
    except OSError as error:
        print(f"ttk: error: can't open file '{os.path.abspath(first)}': [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        return 2
    folder = os.path.dirname(os.path.realpath(first))
    _as_main(compile(source, first, "exec"), first, arguments, folder)
    return 0


def _drop_own_frames(error):
    """Lets the exception's traceback begin with the program's first frame: what is before says nothing to its reader."""
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code.co_filename != __file__ and frame.f_globals.get("__name__") != "runpy":
            break
        traceback = traceback.tb_next
    return error.with_traceback(traceback)


def _leave_own_folder():
    """Takes the folder of the `ttk` script off the module path: a program is given its own folder there."""
    import os

    own = os.path.dirname(os.path.realpath(sys.argv[0]))
    if sys.path and os.path.realpath(sys.path[0]) == own and os.path.basename(sys.argv[0]).startswith("ttk"):
        del sys.path[0]


def main(arguments=None):
    """Entry point of the console script `ttk`. Returns the exit status."""
    if arguments is None:
        arguments = sys.argv[1:]
        _leave_own_folder()
    arguments = list(arguments)
    if arguments[:1] == ["run"]:
        if arguments[1:] in (["-h"], ["--help"]):
            print(_USAGE)
        elif _is_python_program(arguments[1:]):
            try:
                return run_python(arguments[1:])
            except SystemExit:
                raise
            except BaseException as error:
                error = _drop_own_frames(error)
                sys.excepthook(type(error), error, error.__traceback__)
                return 130 if isinstance(error, KeyboardInterrupt) else 1
    from .. import _C

    return _C._cli_main(arguments)


if __name__ == "__main__":
    sys.exit(main())
